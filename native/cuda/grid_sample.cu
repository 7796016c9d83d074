// Sampling channels-last pictures at the positions of a grid, as PyTorch does
// (aten/src/ATen/native/GridSampler.h). The gradient of the pictures is added with atomics, since any output
// may read any pixel: its last bits may differ from run to run. All else has a fixed order.
#include "core/grid_corners.h"
#include "cuda/pixels.h"

namespace anneal::cuda {

namespace {

template <typename C>
__device__ Corners<C> cornersAt(const C* position, const PictureSizes& sizes,
                                const GridSampleOptions& options) {
    return cornersOf(position, sizes.height, sizes.width, sizes.channels, options);
}

// What a thread takes of an output's channels: all of few, so that the corners are worked out once, or a
// pack of many.
constexpr int64_t kFew = 8;

template <int kPack>
int64_t channelsEach(const PictureSizes& sizes) {
    return sizes.channels <= kFew ? sizes.channels : kPack;
}

// `each` channels to a thread.
template <int kPack, typename C>
__global__ void sampleForward(C* out, const C* input, const C* grid, PictureSizes to, PictureSizes from,
                              GridSampleOptions options, int64_t each, PackWalk walk) {
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        int64_t pixel = i;
        const int64_t begin = walk.packs.take(pixel) * each, end = begin + each;
        const Corners<C> corners = cornersAt(grid + 2 * pixel, from, options);
        int64_t row = pixel;
        walk.width.take(row);
        walk.height.take(row);
        const C* const picture = input + from.offset(row, 0, 0);
        for (int64_t c = begin; c < end; c += kPack) {
            C sums[kPack] = {};
#pragma unroll
            for (int corner = 0; corner < 4; corner++) {
                if (corners.offsets[corner] < 0) continue;
                C values[kPack];
                loadPack(picture + corners.offsets[corner] + c, values);
#pragma unroll
                for (int k = 0; k < kPack; k++) sums[k] += values[k] * corners.weights[corner];
            }
            storePack(out + pixel * to.channels + c, sums);
        }
    }
}

template <typename C>
__global__ void sampleBackwardInput(C* gradInput, const C* gradOutput, const C* grid, PictureSizes to,
                                    GridSampleOptions options, int64_t each, PackWalk walk) {
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        int64_t pixel = i;
        const int64_t begin = walk.packs.take(pixel) * each, end = begin + each;
        const Corners<C> corners = cornersAt(grid + 2 * pixel, to, options);
        int64_t picture = pixel;
        walk.width.take(picture);
        walk.height.take(picture);
        C* const target = gradInput + to.offset(picture, 0, 0);
        for (int64_t c = begin; c < end; c++) {
            const C value = gradOutput[pixel * to.channels + c];
#pragma unroll
            for (int corner = 0; corner < 4; corner++) {
                if (corners.offsets[corner] < 0) continue;
                atomicAdd(target + corners.offsets[corner] + c, value * corners.weights[corner]);
            }
        }
    }
}

// A team for each output: its lanes take the channels.
template <typename C>
__global__ void sampleBackwardGrid(C* gradGrid, const C* gradOutput, const C* input, const C* grid,
                                   PictureSizes from, GridSampleOptions options, int64_t outputs,
                                   Split inPicture, int width) {
    forEachRow<LaneTeam>(outputs, from.channels, width, [&](const LaneTeam& team, int64_t pixel) {
        C alongX = 0, alongY = 0;
        if (team.active) {
            const Corners<C> corners = cornersAt(grid + 2 * pixel, from, options);
            const C* const picture = input + from.offset(inPicture.quotient(pixel), 0, 0);
            forPacks<1>(team, [&](int64_t c) {
                const C g = gradOutput[pixel * from.channels + c];
#pragma unroll
                for (int corner = 0; corner < 4; corner++) {
                    if (corners.offsets[corner] < 0) continue;
                    const C product = picture[corners.offsets[corner] + c] * g;
                    alongX += product * corners.byX[corner];
                    alongY += product * corners.byY[corner];
                }
            });
        }
        alongX = sumOverTeam(team, alongX);
        alongY = sumOverTeam(team, alongY);
        if (team.active && team.rank == 0) {
            gradGrid[2 * pixel] = alongX;
            gradGrid[2 * pixel + 1] = alongY;
        }
    });
}

template <typename Body>
void dispatchSampled(DType dtype, const Body& body) {
    if (dtype == DType::Float64) {
        body(TypeTag<double>{});
    } else {
        body(TypeTag<float>{});
    }
}

}  // namespace

void gridSample(Context& context, const View& out, const View& input, const View& grid,
                const GridSampleOptions& options) {
    submit(context, "gridSample", [=](CudaRuntime& runtime) {
        const PictureSizes to(out), from(input);
        dispatchSampled(out.dtype, [&](auto tag) {
            using C = typename decltype(tag)::type;
            withPacks<C>(to.channels, {out.data, input.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const int64_t each = channelsEach<kPack>(to);
                const PackWalk walk(to, each);
                launch(sampleForward<kPack, C>, gridFor(walk.count), runtime.stream(), out.as<C>(),
                       input.as<const C>(), grid.as<const C>(), to, from, options, each, walk);
            });
        });
    });
}

void gridSampleBackwardInput(Context& context, const View& gradInput, const View& gradOutput,
                             const View& grid, const GridSampleOptions& options) {
    submit(context, "gridSample backward", [=](CudaRuntime& runtime) {
        const PictureSizes to(gradInput), from(gradOutput);
        check(cudaMemsetAsync(gradInput.data, 0,
                              static_cast<size_t>(gradInput.numel()) * dtypeSize(gradInput.dtype),
                              runtime.stream()),
              "memory could not be cleared");
        dispatchSampled(gradInput.dtype, [&](auto tag) {
            using C = typename decltype(tag)::type;
            const int64_t each = channelsEach<1>(from);
            const PackWalk walk(from, each);
            launch(sampleBackwardInput<C>, gridFor(walk.count), runtime.stream(), gradInput.as<C>(),
                   gradOutput.as<const C>(), grid.as<const C>(), to, options, each, walk);
        });
    });
}

void gridSampleBackwardGrid(Context& context, const View& gradGrid, const View& gradOutput, const View& input,
                            const View& grid, const GridSampleOptions& options) {
    submit(context, "gridSample backward", [=](CudaRuntime& runtime) {
        const PictureSizes to(gradOutput), from(input);
        const int64_t pixels = to.height * to.width, outputs = to.batch * pixels;
        int width = 1;
        while (width < from.channels && width < kWarp) width *= 2;
        dispatchSampled(gradGrid.dtype, [&](auto tag) {
            using C = typename decltype(tag)::type;
            launchTogether(sampleBackwardGrid<C>, gridFor(outputs * width), runtime.stream(),
                           gradGrid.as<C>(), gradOutput.as<const C>(), input.as<const C>(),
                           grid.as<const C>(), from, options, outputs, Split(pixels, outputs), width);
        });
    });
}

}  // namespace anneal::cuda
