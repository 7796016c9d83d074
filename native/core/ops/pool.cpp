#include <cmath>

#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

using cpu::PoolGeometry;

namespace {

void checkPicture(const char* op, const Tensor& input) {
    CHECK_SHAPE(input.dims() == 4, op, ": needs pictures of shape [N, C, H, W], got ",
                input.sizes().toString());
    CHECK_DTYPE(isFloating(input.dtype()), op, ": needs a floating dtype, got ", dtypeName(input.dtype()));
    CHECK_SHAPE(input.size(1) > 0 && input.size(2) > 0 && input.size(3) > 0, op,
                ": channels, height and width must not be zero, got ", input.sizes().toString());
}

void checkPair(const char* op, const char* name, const Dims& pair, int64_t least) {
    CHECK_SHAPE(pair.size() == 2 && pair[0] >= least && pair[1] >= least, op, ": ", name,
                " must be two whole numbers of at least ", least, ", got ", pair.toString());
}

PoolGeometry geometryOf(const char* op, const Dims& kernel, const Dims& stride, const Dims& padding,
                        const Dims& dilation) {
    checkPair(op, "kernelSize", kernel, 1);
    checkPair(op, "stride", stride, 1);
    checkPair(op, "padding", padding, 0);
    checkPair(op, "dilation", dilation, 1);
    PoolGeometry geometry = {};
    for (int i = 0; i < 2; i++) {
        CHECK_SHAPE(padding[i] <= kernel[i] / 2, op, ": padding may be at most half of kernelSize, got ",
                    padding.toString(), " for ", kernel.toString());
        // Positions are counted in 64 bits and taps in 32; nothing near these limits makes sense.
        CHECK_SHAPE(kernel[i] <= 32768 && stride[i] <= (1 << 30) && dilation[i] <= (1 << 30), op,
                    ": kernelSize, stride or dilation is too large: ", kernel.toString(), ", ",
                    stride.toString(), ", ", dilation.toString());
        geometry.kernel[i] = kernel[i];
        geometry.stride[i] = stride[i];
        geometry.padding[i] = padding[i];
        geometry.dilation[i] = dilation[i];
    }
    return geometry;
}

PoolGeometry adaptiveGeometry() {
    PoolGeometry geometry = {};
    geometry.adaptive = true;
    return geometry;
}

// PyTorch's rule: with ceilMode the last window may hang over, but must start on the input or its left
// padding.
Dims outputSizes(const char* op, const Tensor& input, const PoolGeometry& geometry, bool ceilMode) {
    Dims sizes{input.size(0), input.size(1), 0, 0};
    for (int i = 0; i < 2; i++) {
        const int64_t size = input.size(2 + i), stride = geometry.stride[i], padding = geometry.padding[i];
        const int64_t span = size + 2 * padding - geometry.dilation[i] * (geometry.kernel[i] - 1) - 1 +
                             (ceilMode ? stride - 1 : 0);
        int64_t count = span >= 0 ? span / stride + 1 : 0;
        if (ceilMode && (count - 1) * stride >= size + padding) count--;
        CHECK_SHAPE(count > 0, op, ": a window of ", geometry.kernel[0], " by ", geometry.kernel[1],
                    " does not fit into pictures of ", input.size(2), " by ", input.size(3), " (shape ",
                    input.sizes().toString(), "); use a smaller kernelSize, more padding or larger pictures");
        sizes[2 + i] = count;
    }
    return sizes;
}

Dims adaptiveSizes(const char* op, const Tensor& input, const Dims& size) {
    checkPair(op, "the output size", size, 1);
    return Dims{input.size(0), input.size(1), size[0], size[1]};
}

// Which tap of its window each maximum came from: a byte where there are few enough.
DType indexDType(int64_t taps) { return taps <= 255 ? DType::UInt8 : DType::Int32; }

int64_t mostTaps(int64_t input, int64_t output) { return (input + output - 1) / output + 1; }

int64_t adaptiveTaps(int64_t inHeight, int64_t outHeight, int64_t inWidth, int64_t outWidth) {
    return mostTaps(inHeight, outHeight) * mostTaps(inWidth, outWidth);
}

TensorList maxPool(Context& context, const Tensor& input, const Dims& sizes, const PoolGeometry& geometry,
                   int64_t taps, bool withIndices) {
    const Tensor source = channels_last(context, input);
    TensorList results{context.emptyChannelsLast(input.dtype(), sizes)};
    if (withIndices) {
        results.push_back(context.emptyChannelsLast(indexDType(taps), sizes));
        const View indices = results[1];
        context.kernels().maxPool2d(context, results[0], &indices, source, geometry);
    } else {
        context.kernels().maxPool2d(context, results[0], nullptr, source, geometry);
    }
    return results;
}

Tensor emptyInputGradient(Context& context, const char* op, const Tensor& gradient, const Dims& inputSizes) {
    checkPicture(op, gradient);
    CHECK_SHAPE(inputSizes.size() == 4 && inputSizes[0] == gradient.size(0) &&
                    inputSizes[1] == gradient.size(1) && inputSizes[2] > 0 && inputSizes[3] > 0,
                op, ": a gradient of shape ", gradient.sizes().toString(),
                " does not belong to an input of shape ", inputSizes.toString());
    return context.emptyChannelsLast(gradient.dtype(), inputSizes);
}

Tensor maxPoolBackward(Context& context, const char* op, const Tensor& gradient, const Tensor& indices,
                       const Dims& inputSizes, const PoolGeometry& geometry, int64_t taps) {
    const Tensor result = emptyInputGradient(context, op, gradient, inputSizes);
    CHECK_SHAPE(indices.sizes() == gradient.sizes() && indices.isChannelsLast(), op, ": indices of shape ",
                indices.sizes().toString(), " do not belong to a gradient of shape ",
                gradient.sizes().toString());
    CHECK_DTYPE(indices.dtype() == indexDType(taps), op, ": indices of the wrong dtype ",
                dtypeName(indices.dtype()));
    context.kernels().maxPool2dBackward(context, result, channels_last(context, gradient), indices, geometry);
    return result;
}

void setDivisor(const char* op, PoolGeometry& geometry, bool countIncludePad,
                optional<double> divisorOverride) {
    geometry.countPadding = countIncludePad;
    if (!divisorOverride) return;
    CHECK_SHAPE(*divisorOverride != 0 && std::isfinite(*divisorOverride), op,
                ": divisorOverride must not be ", *divisorOverride);
    geometry.divisor = *divisorOverride;
}

}  // namespace

TensorList max_pool2d(Context& context, const Tensor& input, Dims kernel, Dims stride, Dims padding,
                      Dims dilation, bool ceilMode, bool withIndices) {
    checkPicture("maxPool2d", input);
    const PoolGeometry geometry = geometryOf("maxPool2d", kernel, stride, padding, dilation);
    const Dims sizes = outputSizes("maxPool2d", input, geometry, ceilMode);
    return maxPool(context, input, sizes, geometry, kernel[0] * kernel[1], withIndices);
}

Tensor max_pool2d_backward(Context& context, const Tensor& gradient, const Tensor& indices, Dims inputSizes,
                           Dims kernel, Dims stride, Dims padding, Dims dilation) {
    const PoolGeometry geometry = geometryOf("maxPool2d", kernel, stride, padding, dilation);
    return maxPoolBackward(context, "maxPool2d", gradient, indices, inputSizes, geometry,
                           kernel[0] * kernel[1]);
}

TensorList adaptive_max_pool2d(Context& context, const Tensor& input, Dims size, bool withIndices) {
    checkPicture("adaptiveMaxPool2d", input);
    const Dims sizes = adaptiveSizes("adaptiveMaxPool2d", input, size);
    const int64_t taps = adaptiveTaps(input.size(2), size[0], input.size(3), size[1]);
    return maxPool(context, input, sizes, adaptiveGeometry(), taps, withIndices);
}

Tensor adaptive_max_pool2d_backward(Context& context, const Tensor& gradient, const Tensor& indices,
                                    Dims inputSizes) {
    checkPicture("adaptiveMaxPool2d", gradient);
    CHECK_SHAPE(inputSizes.size() == 4,
                "adaptiveMaxPool2d: not the shape of pictures: ", inputSizes.toString());
    const int64_t taps = adaptiveTaps(inputSizes[2], gradient.size(2), inputSizes[3], gradient.size(3));
    return maxPoolBackward(context, "adaptiveMaxPool2d", gradient, indices, inputSizes, adaptiveGeometry(),
                           taps);
}

Tensor avg_pool2d(Context& context, const Tensor& input, Dims kernel, Dims stride, Dims padding,
                  bool ceilMode, bool countIncludePad, optional<double> divisorOverride) {
    checkPicture("avgPool2d", input);
    PoolGeometry geometry = geometryOf("avgPool2d", kernel, stride, padding, Dims{1, 1});
    setDivisor("avgPool2d", geometry, countIncludePad, divisorOverride);
    const Tensor result =
        context.emptyChannelsLast(input.dtype(), outputSizes("avgPool2d", input, geometry, ceilMode));
    context.kernels().averagePool2d(context, result, channels_last(context, input), geometry);
    return result;
}

Tensor avg_pool2d_backward(Context& context, const Tensor& gradient, Dims inputSizes, Dims kernel,
                           Dims stride, Dims padding, bool countIncludePad,
                           optional<double> divisorOverride) {
    PoolGeometry geometry = geometryOf("avgPool2d", kernel, stride, padding, Dims{1, 1});
    setDivisor("avgPool2d", geometry, countIncludePad, divisorOverride);
    const Tensor result = emptyInputGradient(context, "avgPool2d", gradient, inputSizes);
    context.kernels().averagePool2dBackward(context, result, channels_last(context, gradient), geometry);
    return result;
}

Tensor adaptive_avg_pool2d(Context& context, const Tensor& input, Dims size) {
    checkPicture("adaptiveAvgPool2d", input);
    const Tensor result =
        context.emptyChannelsLast(input.dtype(), adaptiveSizes("adaptiveAvgPool2d", input, size));
    context.kernels().averagePool2d(context, result, channels_last(context, input), adaptiveGeometry());
    return result;
}

Tensor adaptive_avg_pool2d_backward(Context& context, const Tensor& gradient, Dims inputSizes) {
    const Tensor result = emptyInputGradient(context, "adaptiveAvgPool2d", gradient, inputSizes);
    context.kernels().averagePool2dBackward(context, result, channels_last(context, gradient),
                                            adaptiveGeometry());
    return result;
}

}  // namespace anneal::ops
