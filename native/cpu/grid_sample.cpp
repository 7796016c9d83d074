#include <cmath>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Sampling channels-last pictures at the positions of a grid, as PyTorch does
// (aten/src/ATen/native/GridSampler.h).
namespace anneal::cpu {

using namespace simd;

namespace {

template <typename C>
struct Coordinate {
    C value;
    C slope;  // d value / d grid
};

// A position of the grid, -1 to 1, as a position on the picture. Positions that are no numbers go to the
// first pixel, or with zeros around stay outside.
template <typename C>
Coordinate<C> coordinateOf(C grid, int64_t size, const GridSampleOptions& options) {
    const C extent = static_cast<C>(options.alignCorners ? size - 1 : size);
    C value = (grid + 1) * (extent / 2) - (options.alignCorners ? C(0) : C(0.5));
    C slope = extent / 2;
    if (options.border == GridBorder::Zeros) return {value, slope};
    if (options.border == GridBorder::Reflection) {
        // Mirrors stand on the outermost pixels' centres, or half a pixel further out.
        const C low = options.alignCorners ? C(0) : C(-0.5);
        if (extent == 0) {
            value = slope = 0;
        } else {
            const C distance = std::fabs(value - low);
            const C rest = distance - std::trunc(distance / (2 * extent)) * (2 * extent);
            const bool flipped = rest > 2 * extent - rest;
            if ((value < low) != flipped) slope = -slope;
            value = (flipped ? 2 * extent - rest : rest) + low;
        }
    }
    const C last = static_cast<C>(size - 1);
    if (!(value > 0)) return {C(0), C(0)};
    if (value >= last) return {last, C(0)};
    return {value, slope};
}

// The corners around a position: offsets of the pixels in elements, -1 for those outside, with their weights
// and the weights' slopes by x and y on the grid.
template <typename C>
struct Corners {
    int64_t offsets[4];
    C weights[4];
    C byX[4], byY[4];
};

template <typename C>
Corners<C> cornersOf(const C* grid, int64_t height, int64_t width, int64_t channels,
                     const GridSampleOptions& options) {
    Corners<C> corners = {{-1, -1, -1, -1}, {}, {}, {}};
    const Coordinate<C> x = coordinateOf(grid[0], width, options), y = coordinateOf(grid[1], height, options);
    // Compared before they become integers: anything may stand in the grid.
    if (options.nearest) {
        const C column = std::nearbyint(x.value), row = std::nearbyint(y.value);
        if (!(column >= 0 && column < static_cast<C>(width) && row >= 0 && row < static_cast<C>(height))) {
            return corners;
        }
        corners.offsets[0] = (static_cast<int64_t>(row) * width + static_cast<int64_t>(column)) * channels;
        corners.weights[0] = 1;
        return corners;
    }
    const C left = std::floor(x.value), top = std::floor(y.value);
    if (!(left >= -1 && left < static_cast<C>(width) && top >= -1 && top < static_cast<C>(height)))
        return corners;
    const auto column = static_cast<int64_t>(left), row = static_cast<int64_t>(top);
    const C right = x.value - left, down = y.value - top;
    for (int i = 0; i < 4; i++) {
        const int64_t cornerX = column + (i & 1), cornerY = row + (i >> 1);
        if (cornerX < 0 || cornerX >= width || cornerY < 0 || cornerY >= height) continue;
        const C wide = i & 1 ? right : 1 - right, high = i >> 1 ? down : 1 - down;
        corners.offsets[i] = (cornerY * width + cornerX) * channels;
        corners.weights[i] = wide * high;
        corners.byX[i] = (i & 1 ? high : -high) * x.slope;
        corners.byY[i] = (i >> 1 ? wide : -wide) * y.slope;
    }
    return corners;
}

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
