#include <vector>

#include "core/grid_corners.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Sampling channels-last pictures at the positions of a grid, as PyTorch does
// (aten/src/ATen/native/GridSampler.h).
namespace anneal::cpu {

using namespace simd;

namespace {

struct Sizes {
    int64_t batch, channels, height, width;
    explicit Sizes(const View& view)
        : batch(view.sizes[0]), channels(view.sizes[1]), height(view.sizes[2]), width(view.sizes[3]) {}
    int64_t pixels() const { return height * width; }
};

int64_t pixelGrain(int64_t channels) { return std::max<int64_t>(1, kGrain / (4 * channels + 16)); }

template <typename C>
void forward(C* out, const C* input, const C* grid, const Sizes& to, const Sizes& from,
             const GridSampleOptions& options) {
    const int64_t channels = from.channels;
    parallelFor(to.batch * to.pixels(), pixelGrain(channels), [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; pixel++) {
            const Corners<C> corners =
                cornersOf(grid + 2 * pixel, from.height, from.width, channels, options);
            const C* const picture = input + pixel / to.pixels() * from.pixels() * channels;
            C* const target = out + pixel * channels;
            forLanes<C>(channels, [&](int64_t c, auto lanes) {
                Vector<C> sum = {};
                for (int i = 0; i < 4; i++) {
                    if (corners.offsets[i] < 0) continue;
                    sum += load(picture + corners.offsets[i] + c, lanes) * corners.weights[i];
                }
                store(target + c, sum, lanes);
            });
        }
    });
}

// Outputs scatter into whatever pixels they read, so the team shares out pictures and blocks of channels:
// each value is summed up by one thread, in the order of the outputs.
template <typename C>
void backwardInput(C* gradInput, const C* gradOutput, const C* grid, const Sizes& to, const Sizes& from,
                   const GridSampleOptions& options) {
    constexpr int64_t kBlock = 128 / sizeof(C);
    const int64_t channels = to.channels, blocks = (channels + kBlock - 1) / kBlock;
    parallelFor(to.batch * blocks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t task = begin; task < end; task++) {
            const int64_t picture = task / blocks, first = task % blocks * kBlock;
            const int64_t count = std::min(kBlock, channels - first);
            C* const target = gradInput + picture * to.pixels() * channels + first;
            for (int64_t p = 0; p < to.pixels(); p++) std::fill_n(target + p * channels, count, C(0));
            for (int64_t p = 0; p < from.pixels(); p++) {
                const int64_t pixel = picture * from.pixels() + p;
                const Corners<C> corners =
                    cornersOf(grid + 2 * pixel, to.height, to.width, channels, options);
                const C* const gradient = gradOutput + pixel * channels + first;
                forLanes<C>(count, [&](int64_t c, auto lanes) {
                    const auto value = load(gradient + c, lanes);
                    for (int i = 0; i < 4; i++) {
                        if (corners.offsets[i] < 0) continue;
                        C* const place = target + corners.offsets[i] + c;
                        store(place, load(place, lanes) + value * corners.weights[i], lanes);
                    }
                });
            }
        }
    });
}

template <typename C>
void backwardGrid(C* gradGrid, const C* gradOutput, const C* input, const C* grid, const Sizes& to,
                  const Sizes& from, const GridSampleOptions& options) {
    const int64_t channels = from.channels;
    parallelFor(to.batch * to.pixels(), pixelGrain(channels), [&](int64_t begin, int64_t end) {
        for (int64_t pixel = begin; pixel < end; pixel++) {
            const Corners<C> corners =
                cornersOf(grid + 2 * pixel, from.height, from.width, channels, options);
            const C* const picture = input + pixel / to.pixels() * from.pixels() * channels;
            const C* const gradient = gradOutput + pixel * channels;
            Vector<C> alongX = {}, alongY = {};
            forLanes<C>(channels, [&](int64_t c, auto lanes) {
                const auto g = load(gradient + c, lanes);
                for (int i = 0; i < 4; i++) {
                    if (corners.offsets[i] < 0) continue;
                    const auto product = load(picture + corners.offsets[i] + c, lanes) * g;
                    alongX += product * corners.byX[i];
                    alongY += product * corners.byY[i];
                }
            });
            gradGrid[2 * pixel] = sumLanes<C>(alongX);
            gradGrid[2 * pixel + 1] = sumLanes<C>(alongY);
        }
    });
}

template <typename Body>
void dispatch(DType dtype, const Body& body) {
    if (dtype == DType::Float64) {
        body(TypeTag<double>{});
    } else {
        body(TypeTag<float>{});
    }
}

}  // namespace

void gridSample(Context& context, const View& out, const View& input, const View& grid,
                const GridSampleOptions& options) {
    const Sizes to(out), from(input);
    dispatch(out.dtype, [&](auto tag) {
        using C = typename decltype(tag)::type;
        C *const target = out.as<C>(), *const source = input.as<C>(), *const positions = grid.as<C>();
        context.enqueue("gridSample", [=] { forward<C>(target, source, positions, to, from, options); });
    });
}

void gridSampleBackwardInput(Context& context, const View& gradInput, const View& gradOutput,
                             const View& grid, const GridSampleOptions& options) {
    const Sizes to(gradInput), from(gradOutput);
    dispatch(gradInput.dtype, [&](auto tag) {
        using C = typename decltype(tag)::type;
        C *const target = gradInput.as<C>(), *const source = gradOutput.as<C>(),
                 *const positions = grid.as<C>();
        context.enqueue("gridSample backward",
                        [=] { backwardInput<C>(target, source, positions, to, from, options); });
    });
}

void gridSampleBackwardGrid(Context& context, const View& gradGrid, const View& gradOutput, const View& input,
                            const View& grid, const GridSampleOptions& options) {
    const Sizes to(gradOutput), from(input);
    dispatch(gradGrid.dtype, [&](auto tag) {
        using C = typename decltype(tag)::type;
        C *const target = gradGrid.as<C>(), *const gradient = gradOutput.as<C>(),
                 *const source = input.as<C>(), *const positions = grid.as<C>();
        context.enqueue("gridSample backward",
                        [=] { backwardGrid<C>(target, gradient, source, positions, to, from, options); });
    });
}

}  // namespace anneal::cpu
