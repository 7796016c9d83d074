// Convolution: activations in channels-last order, weights [out, in / groups, height, width]. The transposed
// one has weights [in, out / groups, height, width]: it is the gradient of a convolution with respect to its
// input, from `in` channels back to `out`.
#include <cmath>

#include "core/kernels.h"
#include "core/ops.h"
#include "core/ops/norm.h"

namespace anneal::ops {

namespace {

// Nothing near it makes sense, and sums of a few such numbers and products with sizes stay within 64 bits.
constexpr int64_t kLargest = int64_t{1} << 30;

// `padding` is [vertical, horizontal] or [top, left, bottom, right].
cpu::ConvGeometry geometryOf(const char* op, const Dims& stride, const Dims& padding, const Dims& dilation,
                             int64_t groups) {
    CHECK_SHAPE(stride.size() == 2 && (padding.size() == 2 || padding.size() == 4) && dilation.size() == 2,
                op, ": stride, padding and dilation take one number or two each, got ", stride.toString(),
                ", ", padding.toString(), " and ", dilation.toString());
    cpu::ConvGeometry geometry{};
    for (int i = 0; i < 2; i++) {
        const int64_t after = padding[padding.size() == 4 ? 2 + i : i];
        CHECK_SHAPE(stride[i] > 0 && stride[i] <= kLargest, op, ": the stride must be positive",
                    stride[i] > 0 ? " and not enormous" : "", ", got ", stride.toString());
        CHECK_SHAPE(dilation[i] > 0 && dilation[i] <= kLargest, op, ": the dilation must be positive",
                    dilation[i] > 0 ? " and not enormous" : "", ", got ", dilation.toString());
        CHECK_SHAPE(padding[i] >= 0 && after >= 0 && padding[i] <= kLargest && after <= kLargest, op,
                    ": the padding must not be negative or enormous, got ", padding.toString());
        geometry.stride[i] = stride[i];
        geometry.padding[i] = padding[i];
        geometry.paddingAfter[i] = after;
        geometry.dilation[i] = dilation[i];
    }
    CHECK_SHAPE(groups > 0 && groups <= kLargest, op, ": groups must be positive, got ", groups);
    geometry.groups = groups;
    return geometry;
}

void checkPictures(const char* op, const Dims& input) {
    CHECK_SHAPE(input.size() == 4, op, ": expected an input of [N, C, H, W], got ", input.toString());
    CHECK_SHAPE(input[1] > 0 && input[2] > 0 && input[3] > 0, op,
                ": channels, height and width of the input must not be zero, got ", input.toString());
}

// The distance from a kernel's first tap to one past its last.
int64_t extentOf(const Dims& weight, const cpu::ConvGeometry& g, int i) {
    return (weight[2 + i] - 1) * g.dilation[i] + 1;
}

void checkWeight(const char* op, const char* layout, const Dims& weight) {
    CHECK_SHAPE(weight.size() == 4, op, ": expected a weight of ", layout, ", got ", weight.toString());
    CHECK_SHAPE(weight[0] > 0 && weight[1] > 0 && weight[2] > 0 && weight[3] > 0, op,
                ": the weight is empty: ", weight.toString());
    CHECK_SHAPE(weight[2] <= kLargest && weight[3] <= kLargest, op,
                ": the weight is too large: ", weight.toString());
}

Dims outputSizes(const char* op, const Dims& input, const Dims& weight, const cpu::ConvGeometry& g) {
    checkPictures(op, input);
    checkWeight(op, "[out, in / groups, height, width]", weight);
    CHECK_SHAPE(weight[1] * g.groups == input[1], op, ": the weight ", weight.toString(), " with ", g.groups,
                " group(s) expects ", weight[1] * g.groups, " input channels, the input ", input.toString(),
                " has ", input[1]);
    CHECK_SHAPE(weight[0] % g.groups == 0, op, ": ", weight[0], " output channels cannot be split into ",
                g.groups, " groups");
    Dims out{input[0], weight[0], 0, 0};
    for (int i = 0; i < 2; i++) {
        const int64_t extent = extentOf(weight, g, i),
                      padded = input[2 + i] + g.padding[i] + g.paddingAfter[i];
        CHECK_SHAPE(padded >= extent, op, ": the kernel (", extent,
                    " with its dilation) is larger than the padded input (", padded, ") of ",
                    input.toString());
        out[2 + i] = (padded - extent) / g.stride[i] + 1;
    }
    return out;
}

Dims transposedSizes(const char* op, const Dims& input, const Dims& weight, const cpu::ConvGeometry& g,
                     const Dims& outputPadding) {
    checkPictures(op, input);
    checkWeight(op, "[in, out / groups, height, width]", weight);
    CHECK_SHAPE(weight[0] == input[1], op, ": the weight ", weight.toString(), " expects ", weight[0],
                " input channels, the input ", input.toString(), " has ", input[1]);
    CHECK_SHAPE(weight[0] % g.groups == 0, op, ": ", weight[0], " input channels cannot be split into ",
                g.groups, " groups");
    CHECK_SHAPE(outputPadding.size() == 2, op, ": outputPadding takes one number or two, got ",
                outputPadding.toString());
    Dims out{input[0], weight[1] * g.groups, 0, 0};
    for (int i = 0; i < 2; i++) {
        CHECK_SHAPE(
            outputPadding[i] >= 0 && outputPadding[i] < g.stride[i], op,
            ": outputPadding must lie between 0 and the stride or the dilation, whichever is larger, got ",
            outputPadding.toString(), " with a stride of ", g.stride[i], " and a dilation of ",
            g.dilation[i]);
        out[2 + i] = (input[2 + i] - 1) * g.stride[i] - g.padding[i] - g.paddingAfter[i] +
                     extentOf(weight, g, i) + outputPadding[i];
    }
    CHECK_SHAPE(out[2] > 0 && out[3] > 0, op, ": nothing would be left of an input of ", input.toString(),
                " with a kernel of ", weight[2], " by ", weight[3], ": the output would be ", out.toString());
    return out;
}

// What a convolution computes with. Half precision keeps its activations and takes weights of its own dtype
// or of float32 (mixed precision: the master weights, without a copy), which are handed on in float32.
struct Precision {
    DType activations, weights;
};

Precision precisionOf(Context& context, const char* op, const Tensor& input, const Tensor& weight,
                      cpu::ConvDirection direction, const cpu::ConvGeometry& geometry) {
    const DType dtype = input.dtype();
    const bool half = dtype == DType::BFloat16 || dtype == DType::Float16;
    CHECK_DTYPE(
        isFloating(dtype) && (weight.dtype() == dtype || (half && weight.dtype() == DType::Float32)), op,
        ": expected two tensors of one floating dtype (or half precision with a float32 weight), got ",
        describe(input), " and ", describe(weight));
    if (!half) return {dtype, dtype};
    // What the processor cannot convolve is computed in float32 and rounded.
    const bool direct = !context.device().isCpu() ||
                        (dtype == DType::BFloat16 &&
                         cpu::convolvesBFloat16(direction, input.sizes(), weight.sizes(), geometry));
    return {direct ? dtype : DType::Float32, DType::Float32};
}

// `input` and `weight` are the convolution's, of which `tensor` is the input or the output's gradient.
Tensor activation(Context& context, const Tensor& tensor, cpu::ConvDirection direction,
                  cpu::ConvOperand operand, DType dtype, const Dims& input, const Dims& weight,
                  const cpu::ConvGeometry& geometry) {
    const Tensor converted = to_dtype(context, tensor, dtype);
    if (context.device().isCpu() && converted.isContiguous() &&
        cpu::convolvesPlanes(direction, operand, input, weight, dtype, geometry))
        return converted;
    return channels_last(context, converted);
}

Tensor weightOf(Context& context, const Tensor& weight, const Precision& precision) {
    return contiguous(context, to_dtype(context, weight, precision.weights));
}

Tensor biasOf(Context& context, const char* op, const Tensor& bias, int64_t channels,
              const Precision& precision) {
    CHECK_SHAPE(bias.sizes() == Dims{channels}, op, ": expected a bias of [", channels, "], got ",
                bias.sizes().toString());
    CHECK_DTYPE(isFloating(bias.dtype()), op, ": expected a floating bias, got ", describe(bias));
    return contiguous(context, to_dtype(context, bias, precision.weights));
}

}  // namespace

Tensor conv2d(Context& context, const Tensor& input, const Tensor& weight, optional<Tensor> bias, Dims stride,
              Dims padding, Dims dilation, int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", input.sizes(), weight.sizes(), geometry);
    const Precision precision =
        precisionOf(context, "conv2d", input, weight, cpu::ConvDirection::Forward, geometry);
    if (bias) bias = biasOf(context, "conv2d", *bias, weight.size(0), precision);
    Tensor out = context.emptyChannelsLast(precision.activations, sizes);
    if (out.numel() > 0) {
        const Tensor x = activation(context, input, cpu::ConvDirection::Forward, cpu::ConvOperand::Input,
                                    precision.activations, input.sizes(), weight.sizes(), geometry),
                     w = weightOf(context, weight, precision);
        const View biasView = bias ? bias->view() : View{};
        context.kernels().conv2d(context, out, x, w, bias ? &biasView : nullptr, geometry);
    }
    return to_dtype(context, out, input.dtype());
}

// The form of a convolution's weights that is kept with them, from the second use in a row on. Not in a
// recording, which does not see what others write.
static std::shared_ptr<Derived> keptForm(Context& context, const Tensor& weight, const Tensor& used) {
    Storage& storage = *weight.storage().get();
    if (used.storage().get() != &storage || context.stream().recording() != nullptr) return nullptr;
    if (!storage.derived()) storage.derive(cpu::newConvWeights());
    return ++storage.derived()->uses > 1 ? storage.derived() : nullptr;
}

Tensor conv2d_norm(Context& context, const Tensor& input, const Weights& weights, optional<Tensor> bias,
                   optional<Tensor> normWeight, optional<Tensor> normBias, const Tensor& runningMean,
                   const Tensor& runningVariance, optional<Tensor> residual, Dims stride, Dims padding,
                   Dims dilation, int64_t groups, double epsilon, bool relu) {
    const Tensor& weight = weights.tensor;
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", input.sizes(), weight.sizes(), geometry);
    const Precision precision =
        precisionOf(context, "conv2d", input, weight, cpu::ConvDirection::Forward, geometry);
    if (!context.device().isCpu() || precision.activations != input.dtype() || numelOf(sizes) == 0 ||
        !cpu::convolvesWithNorm(input.sizes(), weight.sizes(), input.dtype(), geometry)) {
        return batch_norm(context, conv2d(context, input, weight, bias, stride, padding, dilation, groups),
                          normWeight, normBias, runningMean, runningVariance, residual, false, 0, epsilon,
                          relu)[0];
    }
    CHECK(std::isfinite(epsilon), ErrorKind::General, "batchNorm: eps must be finite, got ", epsilon);
    checkResidual("batchNorm", residual, sizes, input.dtype());
    const Tensor out = context.emptyChannelsLast(input.dtype(), sizes);
    const auto prepare = [&](const char* name, const optional<Tensor>& tensor) {
        return normParameter(context, "batchNorm", name, tensor, Dims{sizes[1]}, out);
    };
    const optional<Tensor> scale = prepare("weight", normWeight), shift = prepare("bias", normBias);
    const optional<Tensor> mean = prepare("runningMean", runningMean),
                           variance = prepare("runningVar", runningVariance);
    if (bias) bias = biasOf(context, "conv2d", *bias, sizes[1], precision);
    if (residual) residual = channels_last(context, *residual);
    const Tensor x = activation(context, input, cpu::ConvDirection::Forward, cpu::ConvOperand::Input,
                                input.dtype(), input.sizes(), weight.sizes(), geometry),
                 w = weightOf(context, weight, precision);
    const OptionalView biasView(bias), scaleView(scale), shiftView(shift), residualView(residual);
    cpu::conv2dNorm(context, out, x, w,
                    {biasView.get(), scaleView.get(), shiftView.get(), *mean, *variance, residualView.get(),
                     epsilon, relu},
                    geometry, keptForm(context, weight, w));
    return out;
}

Tensor conv_transpose2d(Context& context, const Tensor& input, const Tensor& weight, optional<Tensor> bias,
                        Dims stride, Dims padding, Dims outputPadding, Dims dilation, int64_t groups) {
    const char* const op = "convTranspose2d";
    const cpu::ConvGeometry geometry = geometryOf(op, stride, padding, dilation, groups);
    const Dims sizes = transposedSizes(op, input.sizes(), weight.sizes(), geometry, outputPadding);
    const Precision precision =
        precisionOf(context, op, input, weight, cpu::ConvDirection::BackwardInput, geometry);
    if (bias) bias = biasOf(context, op, *bias, sizes[1], precision);
    Tensor out = context.emptyChannelsLast(precision.activations, sizes);
    if (out.numel() > 0) {
        context.kernels().conv2dBackwardInput(
            context, out,
            activation(context, input, cpu::ConvDirection::BackwardInput, cpu::ConvOperand::Gradient,
                       precision.activations, sizes, weight.sizes(), geometry),
            weightOf(context, weight, precision), geometry);
        if (bias) context.kernels().addChannelBias(context, out, *bias);
    }
    return to_dtype(context, out, input.dtype());
}

Tensor conv2d_backward_input(Context& context, const Tensor& gradient, const Tensor& weight, Dims inputSizes,
                             Dims stride, Dims padding, Dims dilation, int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", inputSizes, weight.sizes(), geometry);
    CHECK_SHAPE(gradient.sizes() == sizes, "conv2d: expected a gradient of ", sizes.toString(), ", got ",
                gradient.sizes().toString());
    const Precision precision =
        precisionOf(context, "conv2d", gradient, weight, cpu::ConvDirection::BackwardInput, geometry);
    Tensor out = context.emptyChannelsLast(precision.activations, inputSizes);
    if (gradient.numel() > 0) {
        context.kernels().conv2dBackwardInput(
            context, out,
            activation(context, gradient, cpu::ConvDirection::BackwardInput, cpu::ConvOperand::Gradient,
                       precision.activations, inputSizes, weight.sizes(), geometry),
            weightOf(context, weight, precision), geometry);
    } else {
        context.kernels().fill(context, out, 0);
    }
    return to_dtype(context, out, gradient.dtype());
}

TensorList conv2d_backward_weight(Context& context, const Tensor& gradient, const Tensor& input,
                                  const Tensor& weight, bool withBias, Dims stride, Dims padding,
                                  Dims dilation, int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", input.sizes(), weight.sizes(), geometry);
    CHECK_SHAPE(gradient.sizes() == sizes, "conv2d: expected a gradient of ", sizes.toString(), ", got ",
                gradient.sizes().toString());
    CHECK_DTYPE(gradient.dtype() == input.dtype(), "conv2d: a gradient of ", dtypeName(gradient.dtype()),
                " against an input of ", dtypeName(input.dtype()));
    const Precision precision =
        precisionOf(context, "conv2d", input, weight, cpu::ConvDirection::BackwardWeight, geometry);
    Tensor toWeight = context.empty(precision.weights, weight.sizes()), toBias;
    if (withBias) toBias = context.empty(precision.weights, Dims{weight.size(0)});
    if (gradient.numel() > 0) {
        const View biasView = withBias ? toBias.view() : View{};
        context.kernels().conv2dBackwardWeight(
            context, toWeight, withBias ? &biasView : nullptr,
            activation(context, gradient, cpu::ConvDirection::BackwardWeight, cpu::ConvOperand::Gradient,
                       precision.activations, input.sizes(), weight.sizes(), geometry),
            activation(context, input, cpu::ConvDirection::BackwardWeight, cpu::ConvOperand::Input,
                       precision.activations, input.sizes(), weight.sizes(), geometry),
            geometry);
    } else {
        context.kernels().fill(context, toWeight, 0);
        if (withBias) context.kernels().fill(context, toBias, 0);
    }
    TensorList results{to_dtype(context, toWeight, weight.dtype())};
    if (withBias) results.push_back(to_dtype(context, toBias, weight.dtype()));
    return results;
}

}  // namespace anneal::ops
