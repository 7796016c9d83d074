#pragma once

#include <cmath>

#include "cpu/kernels.h"

// Where grids of positions point in channels-last pictures, for both devices; as PyTorch does
// (aten/src/ATen/native/GridSampler.h).
namespace anneal {

using cpu::GridBorder;
using cpu::GridSampleOptions;

template <typename C>
struct Coordinate {
    C value;
    C slope;  // d value / d grid
};

// A position of the grid, -1 to 1, as a position on the picture. Positions that are no numbers go to the
// first pixel, or with zeros around stay outside.
template <typename C>
constexpr Coordinate<C> coordinateOf(C grid, int64_t size, const GridSampleOptions& options) {
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
constexpr Corners<C> cornersOf(const C* grid, int64_t height, int64_t width, int64_t channels,
                               const GridSampleOptions& options) {
    Corners<C> corners = {{-1, -1, -1, -1}, {}, {}, {}};
    const Coordinate<C> x = coordinateOf(grid[0], width, options), y = coordinateOf(grid[1], height, options);
    // Compared before they become integers: anything may stand in the grid.
    if (options.nearest) {
        const C column = std::rint(x.value), row = std::rint(y.value);
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

}  // namespace anneal
