// Binary cross-entropy from probabilities and from scores before the sigmoid, reduced in the same kernel.
#include "core/kernels.h"
#include "core/ops.h"
#include "core/ops/operands.h"

namespace anneal::ops {

using cpu::LossReduction;

namespace {

LossReduction reductionOf(const char* op, int64_t code) {
    CHECK(code >= 0 && code <= 2, ErrorKind::General, op, ": the reduction must be none, mean or sum");
    return static_cast<LossReduction>(code);
}

// All operands in the dtype, shape and memory order of `like`; weights broadcast.
struct Operands {
    Tensor input, target;
    optional<Tensor> weight, positiveWeight;

    Operands(Context& context, const char* op, const Tensor& scores, const Tensor& labels,
             const optional<Tensor>& weight, const optional<Tensor>& positiveWeight) {
        CHECK_DTYPE(isFloating(scores.dtype()), op, ": expected a floating input, got ",
                    dtypeName(scores.dtype()));
        CHECK_SHAPE(labels.sizes() == scores.sizes(), op, ": the target has shape ",
                    labels.sizes().toString(), ", the input ", scores.sizes().toString());
        CHECK_DTYPE(labels.dtype() == scores.dtype(), op, ": the target is ", dtypeName(labels.dtype()),
                    ", the input is ", dtypeName(scores.dtype()), "; convert one of them");
        input = scores.isDense() ? scores : contiguous(context, scores);
        target = aligned(context, op, "target", labels);
        if (weight) this->weight = aligned(context, op, "weight", *weight);
        if (positiveWeight) this->positiveWeight = aligned(context, op, "posWeight", *positiveWeight);
    }

    Tensor aligned(Context& context, const char* op, const char* name, const Tensor& tensor) const {
        if (tensor.sizes() == input.sizes() && tensor.strides() == input.strides() &&
            tensor.dtype() == input.dtype()) {
            return tensor;
        }
        CHECK_SHAPE(broadcastSizes(op, input.sizes(), tensor.sizes()) == input.sizes(), op, ": ", name,
                    " of shape ", tensor.sizes().toString(), " does not fit an input of shape ",
                    input.sizes().toString());
        Tensor result = context.emptyLike(input);
        copy_(context, result, tensor);
        return result;
    }

    Tensor output(Context& context, LossReduction reduction) const {
        return reduction == LossReduction::None ? context.emptyLike(input)
                                                : context.empty(input.dtype(), Dims{});
    }

    Tensor upstream(Context& context, const char* op, const Tensor& gradient, LossReduction reduction) const {
        const Dims expected = reduction == LossReduction::None ? input.sizes() : Dims{};
        CHECK_SHAPE(gradient.sizes() == expected, op, ": expected a gradient of shape ", expected.toString(),
                    ", got ", gradient.sizes().toString());
        return reduction == LossReduction::None ? aligned(context, op, "gradient", gradient)
                                                : to_dtype(context, gradient, input.dtype());
    }
};

TensorList wanted(const optional<Tensor>& first, const optional<Tensor>& second) {
    TensorList results;
    if (first) results.push_back(*first);
    if (second) results.push_back(*second);
    return results;
}

constexpr const char* kWithLogits = "binaryCrossEntropyWithLogits";
constexpr const char* kPlain = "binaryCrossEntropy";

}  // namespace

Tensor binary_cross_entropy_with_logits(Context& context, const Tensor& input, const Tensor& target,
                                        optional<Tensor> weight, optional<Tensor> positiveWeight,
                                        int64_t reductionCode) {
    const LossReduction reduction = reductionOf(kWithLogits, reductionCode);
    const Operands operands(context, kWithLogits, input, target, weight, positiveWeight);
    Tensor out = operands.output(context, reduction);
    const OptionalView weightView(operands.weight), positiveView(operands.positiveWeight);
    context.kernels().bceWithLogits(context, out, operands.input, operands.target, weightView.get(),
                                    positiveView.get(), reduction);
    return out;
}

TensorList binary_cross_entropy_with_logits_backward(Context& context, const Tensor& gradient,
                                                     const Tensor& input, const Tensor& target,
                                                     optional<Tensor> weight, optional<Tensor> positiveWeight,
                                                     int64_t reductionCode, bool wantInput, bool wantTarget) {
    const LossReduction reduction = reductionOf(kWithLogits, reductionCode);
    const Operands operands(context, kWithLogits, input, target, weight, positiveWeight);
    const Tensor upstream = operands.upstream(context, kWithLogits, gradient, reduction);
    optional<Tensor> toInput, toTarget;
    if (wantInput) toInput = context.emptyLike(operands.input);
    if (wantTarget) toTarget = context.emptyLike(operands.input);
    const OptionalView weightView(operands.weight), positiveView(operands.positiveWeight), inputView(toInput),
        targetView(toTarget);
    context.kernels().bceWithLogitsBackward(context, inputView.get(), targetView.get(), upstream,
                                            operands.input, operands.target, weightView.get(),
                                            positiveView.get(), reduction);
    return wanted(toInput, toTarget);
}

Tensor binary_cross_entropy(Context& context, const Tensor& input, const Tensor& target,
                            optional<Tensor> weight, int64_t reductionCode) {
    const LossReduction reduction = reductionOf(kPlain, reductionCode);
    const Operands operands(context, kPlain, input, target, weight, std::nullopt);
    Tensor out = operands.output(context, reduction);
    const OptionalView weightView(operands.weight);
    context.kernels().binaryCrossEntropy(context, out, operands.input, operands.target, weightView.get(),
                                         reduction);
    return out;
}

TensorList binary_cross_entropy_backward(Context& context, const Tensor& gradient, const Tensor& input,
                                         const Tensor& target, optional<Tensor> weight, int64_t reductionCode,
                                         bool wantInput, bool wantTarget) {
    const LossReduction reduction = reductionOf(kPlain, reductionCode);
    const Operands operands(context, kPlain, input, target, weight, std::nullopt);
    const Tensor upstream = operands.upstream(context, kPlain, gradient, reduction);
    optional<Tensor> toInput, toTarget;
    if (wantInput) toInput = context.emptyLike(operands.input);
    if (wantTarget) toTarget = context.emptyLike(operands.input);
    const OptionalView weightView(operands.weight), inputView(toInput), targetView(toTarget);
    context.kernels().binaryCrossEntropyBackward(context, inputView.get(), targetView.get(), upstream,
                                                 operands.input, operands.target, weightView.get(),
                                                 reduction);
    return wanted(toInput, toTarget);
}

}  // namespace anneal::ops
