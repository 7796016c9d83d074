#include <limits>
#include <span>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Pooling on channels-last pictures: vectors run over the channels, the team over rows of the output
// (forward) or of the input (backward). Backward gathers: each input position adds up the windows that cover
// it, so that nothing needs to be zeroed first, no two threads write to one place and the order of additions
// is fixed.
namespace anneal::cpu {

using namespace simd;

namespace {

// The taps [first, last) of a window that fall on the input; tap t reads position begin + t * dilation.
struct Window {
    int64_t begin;
    int32_t first, last;
    int64_t extent;  // what the window counts for in an average
};

// A window that covers an input position, and the tap it reads it with; `offset` and `tap` are already
// multiplied by what the caller steps with.
struct Cover {
    int64_t offset;
    int32_t output, tap;
};

// One dimension of a pooling: its windows, and for each input position the windows that cover it.
struct Axis {
    int64_t input, dilation = 1;
    int32_t taps = 0;
    std::vector<Window> windows;
    std::vector<Cover> covers;
    std::vector<int32_t> coverOffsets;
    int32_t mostCovers = 0;
    int64_t wholeBegin = 0, wholeEnd = 0;  // the outputs whose windows lie on the input with all their taps

    Axis(int64_t input, int64_t output, const PoolGeometry& geometry, int dim)
        : input(input), windows(output) {
        for (int64_t o = 0; o < output; o++) {
            Window& window = windows[o];
            if (geometry.adaptive) {
                window.begin = o * input / output;
                window.first = 0;
                window.last = static_cast<int32_t>(((o + 1) * input + output - 1) / output - window.begin);
                window.extent = window.last;
                taps = std::max(taps, window.last);
                continue;
            }
            const int64_t kernel = geometry.kernel[dim], padding = geometry.padding[dim];
            dilation = geometry.dilation[dim];
            taps = static_cast<int32_t>(kernel);
            window.begin = o * geometry.stride[dim] - padding;
            const int64_t first = window.begin < 0 ? (-window.begin + dilation - 1) / dilation : 0;
            const int64_t last = window.begin < input ? (input - window.begin + dilation - 1) / dilation : 0;
            window.last = static_cast<int32_t>(std::min(last, kernel));
            window.first = static_cast<int32_t>(std::min<int64_t>(first, window.last));
            window.extent = geometry.countPadding
                                ? std::min(window.begin + kernel, input + padding) - window.begin
                                : window.last - window.first;
            if (window.first == 0 && window.last == kernel) {
                if (wholeEnd == 0) wholeBegin = o;
                wholeEnd = o + 1;
            }
        }
    }

    void findCovers(int64_t step, int32_t tapStep) {
        coverOffsets.assign(input + 1, 0);
        const auto forTaps = [&](const auto& body) {
            for (size_t o = 0; o < windows.size(); o++) {
                for (int32_t t = windows[o].first; t < windows[o].last; t++) {
                    body(windows[o].begin + t * dilation,
                         Cover{static_cast<int64_t>(o) * step, static_cast<int32_t>(o), t * tapStep});
                }
            }
        };
        forTaps([&](int64_t position, Cover) { coverOffsets[position + 1]++; });
        for (int64_t i = 0; i < input; i++) {
            mostCovers = std::max(mostCovers, coverOffsets[i + 1]);
            coverOffsets[i + 1] += coverOffsets[i];
        }
        covers.resize(coverOffsets[input]);
        std::vector<int32_t> next(coverOffsets.begin(), coverOffsets.end() - 1);
        forTaps([&](int64_t position, Cover cover) { covers[next[position]++] = cover; });
    }
    std::span<const Cover> coversOf(int64_t position) const {
        return {covers.data() + coverOffsets[position], covers.data() + coverOffsets[position + 1]};
    }
};

struct Picture {
    int64_t batch, channels, height, width;
    explicit Picture(const View& view)
        : batch(view.sizes[0]), channels(view.sizes[1]), height(view.sizes[2]), width(view.sizes[3]) {}
};

// Rows of a picture per chunk, so that a chunk is worth handing out.
int64_t rowGrain(const Picture& picture, int64_t work) {
    return std::max<int64_t>(1, 4 * kGrain / std::max<int64_t>(1, picture.width * picture.channels * work));
}

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
            const Cover *const firstLine = lines.data(), *const lastLine = firstLine + lines.size();
            const T* const gradients = gradOutput + picture;
            const I* const places = indices + picture;
            for (int64_t x = 0; x < to.width; x++) {
                const auto columns = horizontal.coversOf(x);
                const Cover *const firstColumn = columns.data(), *const lastColumn =
                                                                     firstColumn + columns.size();
                T* const target = gradInput + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    Vector<C> sum = {};
                    for (const Cover* line = firstLine; line < lastLine; line++) {
                        for (const Cover* column = firstColumn; column < lastColumn; column++) {
                            const int64_t source = line->offset + column->offset + c;
                            const auto where = loadIndex<C>(places + source, lanes);
                            const auto value = load(gradients + source, lanes);
                            sum += where == Mask<C>{} + (line->tap + column->tap) ? value : Vector<C>{};
                        }
                    }
                    store(target + c, sum, lanes);
                });
            }
        }
    });
}

template <typename C>
C divisorOf(const Window& high, const Window& wide, const PoolGeometry& geometry) {
    if (geometry.divisor != 0) return static_cast<C>(geometry.divisor);
    // A window without any tap averages nothing: its sum is zero, and so is the result.
    return static_cast<C>(std::max<int64_t>(high.extent * wide.extent, 1));
}

template <typename T>
void averageForward(T* out, const T* input, const Picture& to, const Picture& from,
                    const PoolGeometry& geometry) {
    using C = Compute<T>;
    const Axis vertical(from.height, to.height, geometry, 0), horizontal(from.width, to.width, geometry, 1);
    const int64_t channels = from.channels, lineSize = from.width * channels;
    const int64_t work = int64_t{vertical.taps} * horizontal.taps;
    parallelFor(to.batch * to.height, rowGrain(to, work), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const Window high = vertical.windows[row % to.height];
            const T* const picture = input + (row / to.height) * from.height * lineSize;
            for (int64_t x = 0; x < to.width; x++) {
                const Window wide = horizontal.windows[x];
                const C divisor = divisorOf<C>(high, wide, geometry);
                const T* const window = picture + high.begin * lineSize + wide.begin * channels;
                T* const target = out + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    Vector<C> sum = {};
                    for (int64_t y = high.first; y < high.last; y++) {
                        const T* const line = window + y * lineSize + c;
                        Vector<C> lineSum = {};  // keeps the error of large windows small
                        for (int64_t t = wide.first; t < wide.last; t++)
                            lineSum += load(line + t * channels, lanes);
                        sum += lineSum;
                    }
                    store(target + c, sum / divisor, lanes);
                });
            }
        }
    });
}

template <typename T>
void averageBackward(T* gradInput, const T* gradOutput, const Picture& to, const Picture& from,
                     const PoolGeometry& geometry) {
    using C = Compute<T>;
    struct Share {
        int64_t offset;
        C divisor;
    };
    Axis vertical(to.height, from.height, geometry, 0), horizontal(to.width, from.width, geometry, 1);
    const int64_t channels = to.channels;
    vertical.findCovers(from.width * channels, 1);
    horizontal.findCovers(channels, 1);
    parallelFor(to.batch * to.height, rowGrain(to, 2), [&](int64_t begin, int64_t end) {
        std::vector<Share> shares(static_cast<size_t>(vertical.mostCovers) * horizontal.mostCovers);
        for (int64_t row = begin; row < end; row++) {
            const int64_t y = row % to.height;
            const T* const gradient = gradOutput + (row / to.height) * from.height * from.width * channels;
            for (int64_t x = 0; x < to.width; x++) {
                Share* last = shares.data();
                for (const Cover& high : vertical.coversOf(y)) {
                    for (const Cover& wide : horizontal.coversOf(x)) {
                        *last++ = {high.offset + wide.offset,
                                   divisorOf<C>(vertical.windows[high.output],
                                                horizontal.windows[wide.output], geometry)};
                    }
                }
                const Share* const first = shares.data();
                T* const target = gradInput + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    Vector<C> sum = {};
                    for (const Share* share = first; share < last; share++) {
                        sum += load(gradient + share->offset + c, lanes) / share->divisor;
                    }
                    store(target + c, sum, lanes);
                });
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
        if (indices.dtype == DType::UInt8) {
            const uint8_t* places = indices.as<uint8_t>();
            context.enqueue("maxPool2d backward",
                            [=] { maxBackward(target, gradient, places, to, from, geometry); });
        } else {
            const int32_t* places = indices.as<int32_t>();
            context.enqueue("maxPool2d backward",
                            [=] { maxBackward(target, gradient, places, to, from, geometry); });
        }
    });
}

void averagePool2d(Context& context, const View& out, const View& input, const PoolGeometry& geometry) {
    const Picture to(out), from(input);
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* values = out.as<T>();
        const T* data = input.as<T>();
        context.enqueue("avgPool2d", [=] { averageForward(values, data, to, from, geometry); });
    });
}

void averagePool2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const PoolGeometry& geometry) {
    const Picture to(gradInput), from(gradOutput);
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* target = gradInput.as<T>();
        const T* gradient = gradOutput.as<T>();
        context.enqueue("avgPool2d backward", [=] { averageBackward(target, gradient, to, from, geometry); });
    });
}

}  // namespace anneal::cpu
