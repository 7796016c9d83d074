// Convolution: activations in channels-last order, weights [out, in / groups, height, width].
#include "core/ops.h"
#include "cpu/kernels.h"

namespace anneal::ops {

namespace {

cpu::ConvGeometry geometryOf(const char* op, const Dims& stride, const Dims& padding, const Dims& dilation,
                             int64_t groups) {
    CHECK_SHAPE(stride.size() == 2 && padding.size() == 2 && dilation.size() == 2, op,
                ": stride, padding and dilation take two numbers each");
    cpu::ConvGeometry geometry{};
    for (int i = 0; i < 2; i++) {
        CHECK_SHAPE(stride[i] > 0, op, ": the stride must be positive, got ", stride.toString());
        CHECK_SHAPE(dilation[i] > 0, op, ": the dilation must be positive, got ", dilation.toString());
        CHECK_SHAPE(padding[i] >= 0, op, ": the padding must not be negative, got ", padding.toString());
        geometry.stride[i] = stride[i];
        geometry.padding[i] = padding[i];
        geometry.dilation[i] = dilation[i];
    }
    CHECK_SHAPE(groups > 0, op, ": groups must be positive, got ", groups);
    geometry.groups = groups;
    return geometry;
}

Dims outputSizes(const char* op, const Dims& input, const Dims& weight, const cpu::ConvGeometry& g) {
    CHECK_SHAPE(input.size() == 4, op, ": expected an input of [N, C, H, W], got ", input.toString());
    CHECK_SHAPE(weight.size() == 4, op, ": expected a weight of [out, in / groups, height, width], got ",
                weight.toString());
    CHECK_SHAPE(weight[1] * g.groups == input[1], op, ": the weight ", weight.toString(), " with ", g.groups,
                " group(s) expects ", weight[1] * g.groups, " input channels, the input ", input.toString(),
                " has ", input[1]);
    CHECK_SHAPE(weight[0] % g.groups == 0, op, ": ", weight[0], " output channels cannot be split into ",
                g.groups, " groups");
    CHECK_SHAPE(weight[0] > 0 && weight[2] > 0 && weight[3] > 0, op,
                ": the weight is empty: ", weight.toString());
    Dims out{input[0], weight[0], 0, 0};
    for (int i = 0; i < 2; i++) {
        const int64_t extent = (weight[2 + i] - 1) * g.dilation[i] + 1,
                      padded = input[2 + i] + 2 * g.padding[i];
        CHECK_SHAPE(padded >= extent, op, ": the kernel (", extent,
                    " with its dilation) is larger than the padded input (", padded, ") of ",
                    input.toString());
        out[2 + i] = (padded - extent) / g.stride[i] + 1;
    }
    return out;
}

// float16 has no convolution on processors of this kind: it is computed in float32 and rounded.
DType workType(const char* op, const Tensor& a, const Tensor& b) {
    CHECK_DTYPE(isFloating(a.dtype()) && a.dtype() == b.dtype(), op,
                ": expected two tensors of one floating dtype, got ", describe(a), " and ", describe(b));
    return a.dtype() == DType::Float16 ? DType::Float32 : a.dtype();
}

Tensor activation(Context& context, const Tensor& tensor, DType dtype) {
    return channels_last(context, to_dtype(context, tensor, dtype));
}

}  // namespace

Tensor conv2d(Context& context, const Tensor& input, const Tensor& weight, optional<Tensor> bias, Dims stride,
              Dims padding, Dims dilation, int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", input.sizes(), weight.sizes(), geometry);
    const DType dtype = workType("conv2d", input, weight);
    if (bias) {
        CHECK_SHAPE(bias->sizes() == Dims{weight.size(0)}, "conv2d: expected a bias of [", weight.size(0),
                    "], got ", bias->sizes().toString());
        bias = contiguous(context, to_dtype(context, *bias, dtype));
    }
    Tensor out = context.emptyChannelsLast(dtype, sizes);
    if (out.numel() > 0) {
        const Tensor x = activation(context, input, dtype),
                     w = contiguous(context, to_dtype(context, weight, dtype));
        const View biasView = bias ? bias->view() : View{};
        cpu::conv2d(context, out, x, w, bias ? &biasView : nullptr, geometry);
    }
    return to_dtype(context, out, input.dtype());
}

Tensor conv2d_backward_input(Context& context, const Tensor& gradient, const Tensor& weight, Dims inputSizes,
                             Dims stride, Dims padding, Dims dilation, int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", inputSizes, weight.sizes(), geometry);
    CHECK_SHAPE(gradient.sizes() == sizes, "conv2d: expected a gradient of ", sizes.toString(), ", got ",
                gradient.sizes().toString());
    const DType dtype = workType("conv2d", gradient, weight);
    Tensor out = context.emptyChannelsLast(dtype, inputSizes);
    if (gradient.numel() > 0) {
        cpu::conv2dBackwardInput(context, out, activation(context, gradient, dtype),
                                 contiguous(context, to_dtype(context, weight, dtype)), geometry);
    } else {
        cpu::fill(context, out, 0);
    }
    return to_dtype(context, out, gradient.dtype());
}

TensorList conv2d_backward_weight(Context& context, const Tensor& gradient, const Tensor& input,
                                  Dims weightSizes, bool withBias, Dims stride, Dims padding, Dims dilation,
                                  int64_t groups) {
    const cpu::ConvGeometry geometry = geometryOf("conv2d", stride, padding, dilation, groups);
    const Dims sizes = outputSizes("conv2d", input.sizes(), weightSizes, geometry);
    CHECK_SHAPE(gradient.sizes() == sizes, "conv2d: expected a gradient of ", sizes.toString(), ", got ",
                gradient.sizes().toString());
    const DType dtype = workType("conv2d", gradient, input);
    Tensor weight = context.empty(dtype, weightSizes), bias;
    if (withBias) bias = context.empty(dtype, Dims{weightSizes[0]});
    if (gradient.numel() > 0) {
        const View biasView = withBias ? bias.view() : View{};
        cpu::conv2dBackwardWeight(context, weight, withBias ? &biasView : nullptr,
                                  activation(context, gradient, dtype), activation(context, input, dtype),
                                  geometry);
    } else {
        cpu::fill(context, weight, 0);
        if (withBias) cpu::fill(context, bias, 0);
    }
    TensorList results{to_dtype(context, weight, gradient.dtype())};
    if (withBias) results.push_back(to_dtype(context, bias, gradient.dtype()));
    return results;
}

}  // namespace anneal::ops
