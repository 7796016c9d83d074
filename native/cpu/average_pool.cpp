#include "cpu/pool_windows.h"
#include "cpu/simd.h"

// Average pooling on channels-last pictures, vector by vector of channels; backward gathers, as that of the
// maximum (max_pool.cpp) does.
namespace anneal::cpu {

using namespace simd;
using namespace pool;

namespace {

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
