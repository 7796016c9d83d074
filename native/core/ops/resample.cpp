// Pictures [N, C, H, W], channels-last, at another size or through another grid.
#include <cmath>

#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

void checkPicture(const char* op, const Tensor& input) {
    CHECK_SHAPE(input.dims() == 4, op, ": expected pictures of [N, C, H, W], got ", input.sizes().toString());
    CHECK_SHAPE(input.size(1) > 0 && input.size(2) > 0 && input.size(3) > 0, op,
                ": channels, height and width must not be zero, got ", input.sizes().toString());
}

cpu::InterpolateOptions interpolateOptions(bool linear, bool alignCorners, double scaleY, double scaleX) {
    CHECK_SHAPE(std::isfinite(scaleY) && std::isfinite(scaleX) && scaleY >= 0 && scaleX >= 0,
                "interpolate: a scale must be positive, got ", scaleY, " and ", scaleX);
    return {linear, alignCorners, {scaleY, scaleX}};
}

void checkFactor(const char* op, int64_t factor) {
    CHECK_SHAPE(factor > 0 && factor <= 32768, op, ": the factor must be a positive integer, got ", factor);
}

cpu::GridSampleOptions gridSampleOptions(const Tensor& input, const Tensor& grid, int64_t mode,
                                         int64_t border, bool alignCorners) {
    const char* const op = "gridSample";
    checkPicture(op, input);
    CHECK_SHAPE(grid.dims() == 4 && grid.size(3) == 2, op,
                ": expected a grid of [N, height, width, 2] with x and y, got ", grid.sizes().toString());
    CHECK_SHAPE(grid.size(0) == input.size(0), op, ": ", input.size(0), " pictures ",
                input.sizes().toString(), " need as many grids, got ", grid.sizes().toString());
    CHECK_DTYPE(isFloating(input.dtype()) && input.dtype() == grid.dtype(), op,
                ": expected pictures and grid of one floating dtype, got ", describe(input), " and ",
                describe(grid));
    CHECK(mode >= 0 && mode <= 1 && border >= 0 && border <= 2, ErrorKind::General, op, ": unknown mode ",
          mode, " or border ", border);
    return {mode == 1, alignCorners, static_cast<cpu::GridBorder>(border)};
}

// Half precision is too coarse for positions, and for sums of many gradients.
DType sampleType(const Tensor& input) {
    return input.dtype() == DType::Float64 ? DType::Float64 : DType::Float32;
}

}  // namespace

Tensor interpolate2d(Context& context, const Tensor& input, Dims size, bool linear, bool alignCorners,
                     double scaleY, double scaleX) {
    checkPicture("interpolate", input);
    CHECK_DTYPE(!linear || isFloating(input.dtype()),
                "interpolate: a linear mode needs a floating dtype, got ", describe(input),
                "; use mode 'nearest' or convert first");
    CHECK_SHAPE(size.size() == 2 && size[0] > 0 && size[1] > 0,
                "interpolate: expected a height and a width of at least 1, got ", size.toString(),
                " for an input of ", input.sizes().toString());
    const cpu::InterpolateOptions options = interpolateOptions(linear, alignCorners, scaleY, scaleX);
    const Tensor out =
        context.emptyChannelsLast(input.dtype(), Dims{input.size(0), input.size(1), size[0], size[1]});
    if (out.numel() > 0)
        context.kernels().interpolate2d(context, out, channels_last(context, input), options);
    return out;
}

Tensor interpolate2d_backward(Context& context, const Tensor& gradient, Dims inputSizes, bool linear,
                              bool alignCorners, double scaleY, double scaleX) {
    checkPicture("interpolate", gradient);
    CHECK_DTYPE(isFloating(gradient.dtype()), "interpolate: expected a floating gradient, got ",
                describe(gradient));
    CHECK_SHAPE(inputSizes.size() == 4 && inputSizes[0] == gradient.size(0) &&
                    inputSizes[1] == gradient.size(1) && inputSizes[2] > 0 && inputSizes[3] > 0,
                "interpolate: a gradient of ", gradient.sizes().toString(),
                " does not belong to an input of ", inputSizes.toString());
    const cpu::InterpolateOptions options = interpolateOptions(linear, alignCorners, scaleY, scaleX);
    const Tensor out = context.emptyChannelsLast(gradient.dtype(), inputSizes);
    if (out.numel() > 0)
        context.kernels().interpolate2dBackward(context, out, channels_last(context, gradient), options);
    return out;
}

Tensor pixel_shuffle(Context& context, const Tensor& input, int64_t factor) {
    checkFactor("pixelShuffle", factor);
    CHECK_SHAPE(input.dims() == 4, "pixelShuffle: expected pictures of [N, C, H, W], got ",
                input.sizes().toString());
    CHECK_SHAPE(input.size(1) % (factor * factor) == 0, "pixelShuffle: ", input.size(1), " channels of ",
                input.sizes().toString(), " are not a multiple of ", factor * factor,
                ", the square of the factor");
    const Tensor out =
        context.emptyChannelsLast(input.dtype(), Dims{input.size(0), input.size(1) / (factor * factor),
                                                      input.size(2) * factor, input.size(3) * factor});
    if (out.numel() > 0) context.kernels().pixelShuffle(context, out, channels_last(context, input), factor);
    return out;
}

Tensor pixel_unshuffle(Context& context, const Tensor& input, int64_t factor) {
    checkFactor("pixelUnshuffle", factor);
    CHECK_SHAPE(input.dims() == 4, "pixelUnshuffle: expected pictures of [N, C, H, W], got ",
                input.sizes().toString());
    CHECK_SHAPE(input.size(2) % factor == 0 && input.size(3) % factor == 0,
                "pixelUnshuffle: height and width of ", input.sizes().toString(),
                " are not multiples of the factor ", factor);
    const Tensor out = context.emptyChannelsLast(
        input.dtype(),
        Dims{input.size(0), input.size(1) * factor * factor, input.size(2) / factor, input.size(3) / factor});
    if (out.numel() > 0)
        context.kernels().pixelUnshuffle(context, out, channels_last(context, input), factor);
    return out;
}

Tensor grid_sample(Context& context, const Tensor& input, const Tensor& grid, int64_t mode, int64_t border,
                   bool alignCorners) {
    const cpu::GridSampleOptions options = gridSampleOptions(input, grid, mode, border, alignCorners);
    const DType dtype = sampleType(input);
    const Tensor out =
        context.emptyChannelsLast(dtype, Dims{input.size(0), input.size(1), grid.size(1), grid.size(2)});
    if (out.numel() > 0) {
        context.kernels().gridSample(context, out, channels_last(context, to_dtype(context, input, dtype)),
                                     contiguous(context, to_dtype(context, grid, dtype)), options);
    }
    return to_dtype(context, out, input.dtype());
}

TensorList grid_sample_backward(Context& context, const Tensor& gradient, const Tensor& input,
                                const Tensor& grid, int64_t mode, int64_t border, bool alignCorners,
                                bool wantInput, bool wantGrid) {
    const cpu::GridSampleOptions options = gridSampleOptions(input, grid, mode, border, alignCorners);
    const Dims sizes{input.size(0), input.size(1), grid.size(1), grid.size(2)};
    CHECK_SHAPE(gradient.sizes() == sizes, "gridSample: expected a gradient of ", sizes.toString(), ", got ",
                gradient.sizes().toString());
    const DType dtype = sampleType(input);
    const Tensor g = channels_last(context, to_dtype(context, gradient, dtype));
    const Tensor positions = contiguous(context, to_dtype(context, grid, dtype));
    TensorList results;
    if (wantInput) {
        const Tensor out = context.emptyChannelsLast(dtype, input.sizes());
        if (out.numel() > 0) context.kernels().gridSampleBackwardInput(context, out, g, positions, options);
        results.push_back(to_dtype(context, out, input.dtype()));
    }
    if (wantGrid) {
        const Tensor out = context.empty(dtype, grid.sizes());
        if (out.numel() > 0) {
            const Tensor pictures = channels_last(context, to_dtype(context, input, dtype));
            context.kernels().gridSampleBackwardGrid(context, out, g, pictures, positions, options);
        }
        results.push_back(to_dtype(context, out, grid.dtype()));
    }
    return results;
}

}  // namespace anneal::ops
