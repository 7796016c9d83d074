// Losses that are worth a kernel of their own. Class scores are brought to rows [N · d1 · …, C] first.
#include "core/kernels.h"
#include "core/ops.h"
#include "core/ops/operands.h"

namespace anneal::ops {

using cpu::LossReduction;

namespace {

// [C], [N, C] or [N, C, d1, …] with its classes moved to the end, as dense rows.
struct ClassRows {
    Tensor rows;   // [R, C]
    Dims moved;    // sizes with the classes last
    Dims restore;  // the permutation back
    Dims labels;   // the shape of labels and of unreduced losses
};

ClassRows classRows(Context& context, const char* op, const Tensor& scores) {
    CHECK_DTYPE(isFloating(scores.dtype()), op, ": expected floating scores, got ",
                dtypeName(scores.dtype()));
    CHECK_SHAPE(scores.dims() >= 1, op, ": expected scores of [N, C, …] or [C], got ",
                scores.sizes().toString());
    const int classDim = scores.dims() == 1 ? 0 : 1;
    ClassRows result;
    Dims order;
    for (int i = 0; i < scores.dims(); i++) {
        if (i == classDim) continue;
        order.push(i);
        result.labels.push(scores.size(i));
    }
    order.push(classDim);
    result.restore = Dims::filled(scores.dims(), 0);
    for (int i = 0; i < scores.dims(); i++) result.restore[static_cast<int>(order[i])] = i;
    const Tensor moved = contiguous(context, permute(context, scores, order));
    result.moved = moved.sizes();
    const int64_t classes = scores.size(classDim);
    CHECK_SHAPE(classes > 0, op, ": there are no classes in scores of ", scores.sizes().toString());
    result.rows = moved.window(Dims{moved.numel() / classes, classes}, Dims{classes, 1});
    return result;
}

// A gradient of the rows in the shape of the scores.
Tensor restored(Context& context, const Tensor& rows, const ClassRows& scores) {
    return permute(context, rows.window(scores.moved, contiguousStrides(scores.moved)), scores.restore);
}

Tensor labelsFor(Context& context, const char* op, const Tensor& target, const ClassRows& scores) {
    CHECK_DTYPE(isIntegral(target.dtype()), op, ": class labels must be integers, got ", describe(target),
                "; use target.long(), or give probabilities in the shape of the scores");
    CHECK_SHAPE(target.sizes() == scores.labels, op, ": expected labels of shape ", scores.labels.toString(),
                ", got ", target.sizes().toString());
    return contiguous(context, to_dtype(context, target, DType::Int64));
}

Tensor probabilitiesFor(Context& context, const char* op, const Tensor& target, const Tensor& scores) {
    CHECK_SHAPE(target.sizes() == scores.sizes(), op, ": expected probabilities of shape ",
                scores.sizes().toString(), ", got ", target.sizes().toString());
    CHECK_DTYPE(target.dtype() == scores.dtype(), op, ": the probabilities are ", dtypeName(target.dtype()),
                ", the scores ", dtypeName(scores.dtype()));
    return classRows(context, op, target).rows;
}

optional<Tensor> classWeight(Context& context, const char* op, const optional<Tensor>& weight,
                             const Tensor& rows) {
    if (!weight) return std::nullopt;
    CHECK_SHAPE(weight->sizes() == Dims{rows.size(1)}, op, ": expected a weight for each of ", rows.size(1),
                " classes, got shape ", weight->sizes().toString());
    return contiguous(context, to_dtype(context, *weight, computeType(rows.dtype())));
}

LossReduction reductionOf(const char* op, int64_t code) {
    CHECK(code >= 0 && code <= 2, ErrorKind::General, op, ": the reduction must be none, mean or sum");
    return static_cast<LossReduction>(code);
}

void checkSmoothing(const char* op, double smoothing) {
    CHECK(smoothing >= 0 && smoothing <= 1, ErrorKind::General, op,
          ": labelSmoothing must be in [0, 1], got ", smoothing);
}

Tensor lossOutput(Context& context, const ClassRows& scores, LossReduction reduction) {
    return context.empty(scores.rows.dtype(), reduction == LossReduction::None ? scores.labels : Dims{});
}

Tensor gradientFor(Context& context, const char* op, const Tensor& gradient, const Dims& unreduced,
                   DType dtype, LossReduction reduction) {
    const Dims expected = reduction == LossReduction::None ? unreduced : Dims{};
    CHECK_SHAPE(gradient.sizes() == expected, op, ": expected a gradient of shape ", expected.toString(),
                ", got ", gradient.sizes().toString());
    return contiguous(context, to_dtype(context, gradient, dtype));
}

void checkSaved(const char* op, const Tensor& logSums, const Tensor& rows) {
    CHECK_SHAPE(logSums.numel() == 2 * rows.size(0) && logSums.dtype() == computeType(rows.dtype()), op,
                ": what the forward pass kept, ", describe(logSums), ", does not belong to these scores");
}

void checkTotal(const char* op, const Tensor& totalWeight) {
    CHECK_SHAPE(totalWeight.numel() == 1 && totalWeight.dtype() == DType::Float64, op,
                ": not a total weight: ", describe(totalWeight));
}

}  // namespace

// Returns the loss, and for backward: what log-softmax subtracts in every row, and the total weight of the
// labels.
TensorList cross_entropy(Context& context, const Tensor& scores, const Tensor& target,
                         optional<Tensor> weight, int64_t ignoreIndex, double smoothing,
                         int64_t reductionCode) {
    const LossReduction reduction = reductionOf("crossEntropy", reductionCode);
    checkSmoothing("crossEntropy", smoothing);
    const ClassRows rows = classRows(context, "crossEntropy", scores);
    const Tensor labels = labelsFor(context, "crossEntropy", target, rows);
    const optional<Tensor> weights = classWeight(context, "crossEntropy", weight, rows.rows);
    Tensor loss = lossOutput(context, rows, reduction);
    Tensor logSums = context.empty(computeType(scores.dtype()), Dims{rows.rows.size(0), 2});
    Tensor totalWeight = context.empty(DType::Float64, Dims{});
    const OptionalView weightView(weights);
    context.kernels().crossEntropy(context, loss, logSums, totalWeight, rows.rows, labels, weightView.get(),
                                   {reduction, ignoreIndex, smoothing});
    return {loss, logSums, totalWeight};
}

Tensor cross_entropy_backward(Context& context, const Tensor& gradient, const Tensor& scores,
                              const Tensor& target, optional<Tensor> weight, const Tensor& logSums,
                              const Tensor& totalWeight, int64_t ignoreIndex, double smoothing,
                              int64_t reductionCode) {
    const LossReduction reduction = reductionOf("crossEntropy", reductionCode);
    const ClassRows rows = classRows(context, "crossEntropy", scores);
    checkSaved("crossEntropy", logSums, rows.rows);
    checkTotal("crossEntropy", totalWeight);
    const Tensor labels = labelsFor(context, "crossEntropy", target, rows);
    const optional<Tensor> weights = classWeight(context, "crossEntropy", weight, rows.rows);
    const Tensor upstream =
        gradientFor(context, "crossEntropy", gradient, rows.labels, scores.dtype(), reduction);
    Tensor out = context.empty(scores.dtype(), rows.rows.sizes());
    const OptionalView weightView(weights);
    context.kernels().crossEntropyBackward(context, out, upstream, rows.rows, labels, weightView.get(),
                                           logSums, totalWeight, {reduction, ignoreIndex, smoothing});
    return restored(context, out, rows);
}

// Targets that are probabilities of the classes. Returns the loss and what log-softmax subtracts in every
// row.
TensorList cross_entropy_soft(Context& context, const Tensor& scores, const Tensor& target,
                              optional<Tensor> weight, double smoothing, int64_t reductionCode) {
    const LossReduction reduction = reductionOf("crossEntropy", reductionCode);
    checkSmoothing("crossEntropy", smoothing);
    const ClassRows rows = classRows(context, "crossEntropy", scores);
    const Tensor probabilities = probabilitiesFor(context, "crossEntropy", target, scores);
    const optional<Tensor> weights = classWeight(context, "crossEntropy", weight, rows.rows);
    Tensor loss = lossOutput(context, rows, reduction);
    Tensor logSums = context.empty(computeType(scores.dtype()), Dims{rows.rows.size(0), 2});
    const OptionalView weightView(weights);
    context.kernels().crossEntropySoft(context, loss, logSums, rows.rows, probabilities, weightView.get(),
                                       {reduction, 0, smoothing});
    return {loss, logSums};
}

// The wanted gradients: of the scores, of the targets.
TensorList cross_entropy_soft_backward(Context& context, const Tensor& gradient, const Tensor& scores,
                                       const Tensor& target, optional<Tensor> weight, const Tensor& logSums,
                                       double smoothing, int64_t reductionCode, bool wantScores,
                                       bool wantTarget) {
    const LossReduction reduction = reductionOf("crossEntropy", reductionCode);
    const ClassRows rows = classRows(context, "crossEntropy", scores);
    checkSaved("crossEntropy", logSums, rows.rows);
    const Tensor probabilities = probabilitiesFor(context, "crossEntropy", target, scores);
    const optional<Tensor> weights = classWeight(context, "crossEntropy", weight, rows.rows);
    const Tensor upstream =
        gradientFor(context, "crossEntropy", gradient, rows.labels, scores.dtype(), reduction);
    optional<Tensor> toScores, toTarget;
    if (wantScores) toScores = context.empty(scores.dtype(), rows.rows.sizes());
    if (wantTarget) toTarget = context.empty(scores.dtype(), rows.rows.sizes());
    const OptionalView weightView(weights), scoresView(toScores), targetView(toTarget);
    context.kernels().crossEntropySoftBackward(context, scoresView.get(), targetView.get(), upstream,
                                               rows.rows, probabilities, weightView.get(), logSums,
                                               {reduction, 0, smoothing});
    TensorList results;
    if (toScores) results.push_back(restored(context, *toScores, rows));
    if (toTarget) results.push_back(restored(context, *toTarget, rows));
    return results;
}

// Returns the loss and the total weight of the labels.
TensorList nll_loss(Context& context, const Tensor& logProbabilities, const Tensor& target,
                    optional<Tensor> weight, int64_t ignoreIndex, int64_t reductionCode) {
    const LossReduction reduction = reductionOf("nllLoss", reductionCode);
    const ClassRows rows = classRows(context, "nllLoss", logProbabilities);
    const Tensor labels = labelsFor(context, "nllLoss", target, rows);
    const optional<Tensor> weights = classWeight(context, "nllLoss", weight, rows.rows);
    Tensor loss = lossOutput(context, rows, reduction);
    Tensor totalWeight = context.empty(DType::Float64, Dims{});
    const OptionalView weightView(weights);
    context.kernels().nllLoss(context, loss, totalWeight, rows.rows, labels, weightView.get(),
                              {reduction, ignoreIndex, 0});
    return {loss, totalWeight};
}

Tensor nll_loss_backward(Context& context, const Tensor& gradient, const Tensor& logProbabilities,
                         const Tensor& target, optional<Tensor> weight, const Tensor& totalWeight,
                         int64_t ignoreIndex, int64_t reductionCode) {
    const LossReduction reduction = reductionOf("nllLoss", reductionCode);
    const ClassRows rows = classRows(context, "nllLoss", logProbabilities);
    checkTotal("nllLoss", totalWeight);
    const Tensor labels = labelsFor(context, "nllLoss", target, rows);
    const optional<Tensor> weights = classWeight(context, "nllLoss", weight, rows.rows);
    const Tensor upstream =
        gradientFor(context, "nllLoss", gradient, rows.labels, rows.rows.dtype(), reduction);
    Tensor out = context.empty(logProbabilities.dtype(), rows.rows.sizes());
    const OptionalView weightView(weights);
    context.kernels().nllLossBackward(context, out, upstream, labels, weightView.get(), totalWeight,
                                      {reduction, ignoreIndex, 0});
    return restored(context, out, rows);
}

}  // namespace anneal::ops
