#include <limits>

#include "cpu/pool_windows.h"
#include "cpu/simd.h"

// Maximum pooling on channels-last pictures: vectors run over the channels, the team over rows of the output
// (forward) or of the input (backward). Backward gathers: each input position adds up the windows that cover
// it, so that nothing needs to be zeroed first, no two threads write to one place and the order of additions
// is fixed.
namespace anneal::cpu {

using namespace simd;
using namespace pool;

namespace {

// The largest value of one window in each channel, and the tap it came from. `Rows` and `Columns` are plain
// integers or constants: the loops of the common windows are unrolled.
template <typename T, typename I, bool withIndices, typename Rows, typename Columns>
ANNEAL_INLINE void maxOfWindow(T* out, I* places, const T* window, int64_t channels, Rows rows,
                               Columns columns, int64_t stepY, int64_t stepX, int32_t firstTap,
                               int32_t tapsPerRow) {
    using C = Compute<T>;
    forLanes<C>(channels, [=](int64_t c, auto lanes) {
        auto best = splat<C>(-std::numeric_limits<C>::infinity());
        auto where = Mask<C>{} + firstTap;
        const T* line = window + c;
        for (int32_t y = 0; y < rows; y++, line += stepY) {
            const T* position = line;
            for (int32_t x = 0; x < columns; x++, position += stepX) {
                const auto value = load(position, lanes);
                const auto take = (value > best) | (value != value);
                best = take ? value : best;
                if constexpr (withIndices) where = take ? Mask<C>{} + (firstTap + y * tapsPerRow + x) : where;
            }
        }
        store(out + c, best, lanes);
        if constexpr (withIndices) storeIndex<C>(places + c, where, lanes);
    });
}

// `count` windows of one shape, `stride` apart. A function of its own, so that its few values stay in
// registers.
template <typename T, typename I, bool withIndices, typename Rows, typename Columns>
__attribute__((noinline)) void maxOfWindows(T* out, I* places, const T* window, int64_t count, int64_t stride,
                                            int64_t channels, Rows rows, Columns columns, int64_t stepY,
                                            int64_t stepX, int32_t firstTap, int32_t tapsPerRow) {
    for (int64_t i = 0; i < count; i++) {
        maxOfWindow<T, I, withIndices>(out, places, window, channels, rows, columns, stepY, stepX, firstTap,
                                       tapsPerRow);
        out += channels;
        if constexpr (withIndices) places += channels;
        window += stride;
    }
}

template <typename T, typename I, bool withIndices>
void maxForward(T* out, I* indices, const T* input, const Picture& to, const Picture& from,
                const PoolGeometry& geometry) {
    const Axis vertical(from.height, to.height, geometry, 0), horizontal(from.width, to.width, geometry, 1);
    const int64_t channels = from.channels, lineSize = from.width * channels;
    const int64_t stepY = vertical.dilation * lineSize, stepX = horizontal.dilation * channels;
    const int64_t stride = geometry.stride[1] * channels;
    const int32_t taps = horizontal.taps;
    parallelFor(
        to.batch * to.height, rowGrain(to, int64_t{vertical.taps} * taps), [&](int64_t begin, int64_t end) {
            for (int64_t row = begin; row < end; row++) {
                const Window high = vertical.windows[row % to.height];
                const T* const line = input + (row / to.height) * from.height * lineSize +
                                      high.begin * lineSize + high.first * stepY;
                const int32_t rows = high.last - high.first;
                for (int64_t x = 0, count; x < to.width; x += count) {
                    const Window wide = horizontal.windows[x];
                    // Whole windows come in one run; those at the edges (and adaptive ones) one by one.
                    count =
                        x >= horizontal.wholeBegin && x < horizontal.wholeEnd ? horizontal.wholeEnd - x : 1;
                    const int32_t columns = wide.last - wide.first;
                    const int64_t target = (row * to.width + x) * channels;
                    const auto run = [&](auto rows, auto columns) {
                        maxOfWindows<T, I, withIndices>(
                            out + target, withIndices ? indices + target : nullptr,
                            line + wide.begin * channels + wide.first * stepX, count, stride, channels, rows,
                            columns, stepY, stepX, high.first * taps + wide.first, taps);
                    };
                    if (rows == 2 && columns == 2) {
                        run(std::integral_constant<int32_t, 2>{}, std::integral_constant<int32_t, 2>{});
                    } else if (rows == 3 && columns == 3) {
                        run(std::integral_constant<int32_t, 3>{}, std::integral_constant<int32_t, 3>{});
                    } else {
                        run(rows, columns);
                    }
                }
            }
        });
}

template <typename T, typename I>
void maxBackward(T* gradInput, const T* gradOutput, const I* indices, const Picture& to, const Picture& from,
                 const PoolGeometry& geometry) {
    using C = Compute<T>;
    Axis vertical(to.height, from.height, geometry, 0), horizontal(to.width, from.width, geometry, 1);
    const int64_t channels = to.channels, lineSize = from.width * channels;
    vertical.findCovers(lineSize, horizontal.taps);
    horizontal.findCovers(channels, 1);
    parallelFor(to.batch * to.height, rowGrain(to, 4), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const int64_t picture = (row / to.height) * from.height * lineSize;
            const auto lines = vertical.coversOf(row % to.height);
            const T* const gradients = gradOutput + picture;
            const I* const places = indices + picture;
            for (int64_t x = 0; x < to.width; x++) {
                const auto columns = horizontal.coversOf(x);
                T* const target = gradInput + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    Vector<C> sum = {};
                    for (const Cover* line = lines.first; line < lines.last; line++) {
                        for (const Cover* column = columns.first; column < columns.last; column++) {
                            const int64_t source = line->offset + column->offset + c;
                            const auto where = loadIndex<C>(places + source, lanes);
                            const auto value = load(gradients + source, lanes);
                            sum += where == Mask<C>{} + (line->tap + column->tap) ? value : Vector<C>{};
                        }
                    }
                    storeRounded(target + c, sum, lanes);
                });
            }
        }
    });
}

// Whether windows lie side by side, with nothing between them and none over another.
bool sideBySide(const PoolGeometry& geometry) {
    if (geometry.adaptive) return false;
    for (int dim = 0; dim < 2; dim++) {
        if (geometry.stride[dim] != geometry.kernel[dim] || geometry.dilation[dim] != 1) return false;
    }
    return true;
}

// The same for windows side by side: each spreads its gradient over its taps.
template <typename T, typename I>
void maxBackwardSideBySide(T* gradInput, const T* gradOutput, const I* indices, const Picture& to,
                           const Picture& from, const PoolGeometry& geometry) {
    using C = Compute<T>;
    const Axis vertical(to.height, from.height, geometry, 0), horizontal(to.width, from.width, geometry, 1);
    const auto reached = [](const Axis& axis) {
        return std::min(axis.windows.back().begin + axis.windows.back().last, axis.input);
    };
    const int64_t channels = to.channels, lineSize = to.width * channels;
    const int32_t taps = horizontal.taps;
    const int64_t width = reached(horizontal), height = reached(vertical);
    parallelFor(from.batch * from.height, rowGrain(from, 4), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const int64_t y = row % from.height;
            const Window high = vertical.windows[y];
            T* const picture = gradInput + row / from.height * to.height * lineSize;
            for (int64_t x = 0; x < from.width; x++) {
                const Window wide = horizontal.windows[x];
                const int64_t source = (row * from.width + x) * channels;
                T* const target = picture + high.begin * lineSize + wide.begin * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    const auto where = loadIndex<C>(indices + source + c, lanes);
                    const auto value = load(gradOutput + source + c, lanes);
                    for (int32_t i = high.first; i < high.last; i++) {
                        for (int32_t j = wide.first; j < wide.last; j++) {
                            store(target + i * lineSize + j * channels + c,
                                  where == Mask<C>{} + (i * taps + j) ? value : Vector<C>{}, lanes);
                        }
                    }
                });
            }
            // What no window reaches.
            for (int64_t i = high.begin + high.first; i < high.begin + high.last; i++) {
                std::fill_n(picture + i * lineSize + width * channels, (to.width - width) * channels,
                            T(0.0f));
            }
            if (y + 1 == from.height) {
                std::fill_n(picture + height * lineSize, (to.height - height) * lineSize, T(0.0f));
            }
        }
    });
}

}  // namespace

void maxPool2d(Context& context, const View& out, const View* indices, const View& input,
               const PoolGeometry& geometry) {
    const Picture to(out), from(input);
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* values = out.as<T>();
        const T* data = input.as<T>();
        if (!indices) {
            context.enqueue("maxPool2d", [=] {
                maxForward<T, uint8_t, false>(values, nullptr, data, to, from, geometry);
            });
        } else if (indices->dtype == DType::UInt8) {
            uint8_t* places = indices->as<uint8_t>();
            context.enqueue("maxPool2d",
                            [=] { maxForward<T, uint8_t, true>(values, places, data, to, from, geometry); });
        } else {
            int32_t* places = indices->as<int32_t>();
            context.enqueue("maxPool2d",
                            [=] { maxForward<T, int32_t, true>(values, places, data, to, from, geometry); });
        }
    });
}

void maxPool2dBackward(Context& context, const View& gradInput, const View& gradOutput, const View& indices,
                       const PoolGeometry& geometry) {
    const Picture to(gradInput), from(gradOutput);
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* target = gradInput.as<T>();
        const T* gradient = gradOutput.as<T>();
        const auto run = [&](const auto* places) {
            context.enqueue("maxPool2d backward", [=] {
                if (sideBySide(geometry)) {
                    maxBackwardSideBySide(target, gradient, places, to, from, geometry);
                } else {
                    maxBackward(target, gradient, places, to, from, geometry);
                }
            });
        };
        if (indices.dtype == DType::UInt8) {
            run(indices.as<const uint8_t>());
        } else {
            run(indices.as<const int32_t>());
        }
    });
}

}  // namespace anneal::cpu
