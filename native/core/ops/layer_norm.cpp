// Layer and group normalisation. Forward ops return the output, the means and the inverse deviations.
#include <cmath>

#include "core/kernels.h"
#include "core/ops/norm.h"

namespace anneal::ops {

namespace {

// [rows, size of the normalised dimensions], contiguous.
Tensor layerRows(Context& context, const Tensor& input, const Dims& sizes) {
    const int64_t size = numelOf(sizes);
    const Dims shape{size > 0 ? input.numel() / size : 0, size};
    return contiguous(context, input).window(shape, contiguousStrides(shape));
}

void checkEpsilon(const char* op, double epsilon) {
    CHECK(std::isfinite(epsilon) && epsilon >= 0, ErrorKind::General, op, ": eps must not be negative, got ",
          epsilon);
}

void checkLayerShape(const Tensor& input, const Dims& sizes) {
    checkNormInput("layerNorm", input);
    bool matches = sizes.size() > 0 && sizes.size() <= input.dims();
    for (int i = 0; matches && i < sizes.size(); i++) {
        matches = sizes[i] > 0 && sizes[i] == input.size(input.dims() - sizes.size() + i);
    }
    CHECK_SHAPE(matches, "layerNorm: the input ", input.sizes().toString(),
                " does not end in the normalised shape ", sizes.toString());
}

void checkGroups(const Tensor& input, int64_t groups) {
    checkNormInput("groupNorm", input);
    CHECK_SHAPE(input.dims() >= 2 && input.dims() <= 5,
                "groupNorm: expected an input of [N, C, …] with 2 to 5 dimensions, got ",
                input.sizes().toString());
    CHECK_SHAPE(groups > 0 && input.size(1) > 0 && input.size(1) % groups == 0, "groupNorm: ", input.size(1),
                " channels cannot be split into ", groups, " groups");
}

void checkStatistics(const char* op, const Tensor& mean, const Tensor& inverse, int64_t count,
                     const Tensor& input) {
    const DType compute = computeType(input.dtype());
    CHECK_SHAPE(mean.numel() == count && inverse.numel() == count && mean.dtype() == compute &&
                    inverse.dtype() == compute,
                op, ": statistics ", describe(mean), " do not belong to an input of ", describe(input));
}

TensorList wantedGradients(Context& context, const optional<Tensor>& input, const optional<Tensor>& weight,
                           const optional<Tensor>& bias, const optional<Tensor>& like) {
    TensorList results;
    if (input) results.push_back(*input);
    if (weight) {
        const DType dtype = like ? like->dtype() : weight->dtype();
        results.push_back(to_dtype(context, *weight, dtype));
        results.push_back(to_dtype(context, *bias, dtype));
    }
    return results;
}

}  // namespace

TensorList layer_norm(Context& context, const Tensor& input, Dims sizes, optional<Tensor> weight,
                      optional<Tensor> bias, double epsilon) {
    checkLayerShape(input, sizes);
    checkEpsilon("layerNorm", epsilon);
    const optional<Tensor> scale = normParameter(context, "layerNorm", "weight", weight, sizes, input);
    const optional<Tensor> shift = normParameter(context, "layerNorm", "bias", bias, sizes, input);
    const Tensor rows = layerRows(context, input, sizes);
    const DType compute = computeType(input.dtype());
    const Tensor out = context.empty(input.dtype(), input.sizes());
    const Tensor mean = context.empty(compute, Dims{rows.size(0)}),
                 inverse = context.empty(compute, Dims{rows.size(0)});
    const OptionalView scaleView(scale), shiftView(shift);
    context.kernels().layerNorm(context, out, mean, inverse, rows, scaleView.get(), shiftView.get(), epsilon);
    return {out, mean, inverse};
}

TensorList layer_norm_backward(Context& context, const Tensor& gradient, const Tensor& input, Dims sizes,
                               optional<Tensor> weight, const Tensor& mean, const Tensor& inverseDeviation,
                               bool wantInput, bool wantParameters) {
    checkLayerShape(input, sizes);
    checkNormGradient("layerNorm", gradient, input);
    const optional<Tensor> scale = normParameter(context, "layerNorm", "weight", weight, sizes, input);
    const Tensor rows = layerRows(context, input, sizes), upstream = layerRows(context, gradient, sizes);
    checkStatistics("layerNorm", mean, inverseDeviation, rows.size(0), input);
    optional<Tensor> toInput, toWeight, toBias;
    if (wantInput) toInput = context.empty(input.dtype(), input.sizes());
    if (wantParameters) {
        toWeight = context.empty(mean.dtype(), sizes);
        toBias = context.empty(mean.dtype(), sizes);
    }
    const OptionalView inputView(toInput), weightView(toWeight), biasView(toBias), scaleView(scale);
    context.kernels().layerNormBackward(context, inputView.get(), weightView.get(), biasView.get(), upstream,
                                        rows, scaleView.get(), mean, inverseDeviation);
    return wantedGradients(context, toInput, toWeight, toBias, weight);
}

TensorList group_norm(Context& context, const Tensor& input, int64_t groups, optional<Tensor> weight,
                      optional<Tensor> bias, double epsilon) {
    checkGroups(input, groups);
    checkEpsilon("groupNorm", epsilon);
    const Dims channels{input.size(1)};
    const optional<Tensor> scale = normParameter(context, "groupNorm", "weight", weight, channels, input);
    const optional<Tensor> shift = normParameter(context, "groupNorm", "bias", bias, channels, input);
    const Tensor rows = channelRows(context, input), out = emptyRows(context, rows);
    const Dims statistics{input.size(0), groups};
    const DType compute = computeType(input.dtype());
    const Tensor mean = context.empty(compute, statistics), inverse = context.empty(compute, statistics);
    const OptionalView scaleView(scale), shiftView(shift);
    if (input.numel() > 0) {
        context.kernels().groupNorm(context, out, mean, inverse, rows, scaleView.get(), shiftView.get(),
                                    groups, epsilon);
    }
    return {fromRows(context, out, input.sizes()), mean, inverse};
}

TensorList group_norm_backward(Context& context, const Tensor& gradient, const Tensor& input, int64_t groups,
                               optional<Tensor> weight, const Tensor& mean, const Tensor& inverseDeviation,
                               bool wantInput, bool wantParameters) {
    checkGroups(input, groups);
    checkNormGradient("groupNorm", gradient, input);
    checkStatistics("groupNorm", mean, inverseDeviation, input.size(0) * groups, input);
    const Dims channels{input.size(1)};
    const optional<Tensor> scale = normParameter(context, "groupNorm", "weight", weight, channels, input);
    const Tensor rows = channelRows(context, input), upstream = channelRows(context, gradient);
    optional<Tensor> toInput, toWeight, toBias;
    if (wantInput) toInput = emptyRows(context, rows);
    if (wantParameters) {
        toWeight = full(context, channels, 0, mean.dtype());
        toBias = full(context, channels, 0, mean.dtype());
    }
    const OptionalView inputView(toInput), weightView(toWeight), biasView(toBias), scaleView(scale);
    if (input.numel() > 0) {
        context.kernels().groupNormBackward(context, inputView.get(), weightView.get(), biasView.get(),
                                            upstream, rows, scaleView.get(), mean, inverseDeviation, groups);
    }
    if (toInput) toInput = fromRows(context, *toInput, input.sizes());
    return wantedGradients(context, toInput, toWeight, toBias, weight);
}

}  // namespace anneal::ops
