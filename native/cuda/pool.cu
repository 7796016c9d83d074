// Pooling on channels-last pictures: a thread for a pack of channels of an output (forward) or of an input
// position (backward). Backward gathers: each input position adds up the windows that cover it, so that the
// order of additions is fixed.
#include "cuda/pool_near.h"

namespace anneal::cuda {

namespace {

// One dimension of a pooling. A tap t of output o reads position begin(o) + t * dilation.
struct Axis {
    int64_t input, output, kernel = 0, stride = 1, padding = 0, dilation = 1;
    int64_t taps;  // of the widest window
    bool adaptive, countPadding;
    Split byStride, byDilation, byOutput, byInput;  // the last two for adaptive windows

    Axis(int64_t input, int64_t output, const cpu::PoolGeometry& geometry, int dim)
        : input(input), output(output), adaptive(geometry.adaptive), countPadding(geometry.countPadding) {
        if (adaptive) {
            byOutput = Split(output, (output + 1) * (input + 1));
            byInput = Split(input, (output + 1) * (input + 1));
            taps = 0;
            for (int64_t o = 0; o < output; o++)
                taps = std::max(taps, ((o + 1) * input + output - 1) / output - o * input / output);
            return;
        }
        kernel = taps = geometry.kernel[dim];
        stride = geometry.stride[dim];
        padding = geometry.padding[dim];
        dilation = geometry.dilation[dim];
        byStride = Split(stride, input + padding + stride);
        byDilation = Split(dilation, input + padding + dilation);
    }

    __device__ int64_t begin(int64_t o) const {
        return adaptive ? byOutput.quotient(o * input) : o * stride - padding;
    }
    // The taps [first, last) that fall on the input.
    __device__ void window(int64_t o, int64_t& begin, int64_t& first, int64_t& last) const {
        begin = this->begin(o);
        if (adaptive) {
            first = 0;
            last = byOutput.quotient((o + 1) * input + output - 1) - begin;
            return;
        }
        first = begin < 0 ? byDilation.quotient(dilation - 1 - begin) : 0;
        last = begin < input ? byDilation.quotient(input - begin + dilation - 1) : 0;
        if (last > kernel) last = kernel;
        if (first > last) first = last;
    }
    // What a window counts for in an average.
    __device__ int64_t extent(int64_t o) const {
        int64_t begin, first, last;
        window(o, begin, first, last);
        if (adaptive || !countPadding) return last - first;
        const int64_t end = begin + kernel;
        return (end < input + padding ? end : input + padding) - begin;
    }
    // The outputs [low, high] among which are all whose windows cover a position.
    __device__ void covers(int64_t position, int64_t& low, int64_t& high) const {
        if (adaptive) {
            low = byInput.quotient(position * output);
            high = byInput.quotient((position + 1) * output + input - 1) - 1;
            return;
        }
        const int64_t from = position + padding - (kernel - 1) * dilation;
        low = from > 0 ? byStride.quotient(from + stride - 1) : 0;
        high = byStride.quotient(position + padding);
        if (high >= output) high = output - 1;
    }
    // With which tap a window among those reads the position; -1: with none.
    __device__ int64_t tapOf(int64_t o, int64_t position) const {
        const int64_t distance = position - begin(o);
        if (adaptive || dilation == 1) return distance;
        const int64_t tap = byDilation.quotient(distance);
        return tap * dilation == distance ? tap : -1;
    }
};

template <int kPack, bool withIndices, typename T, typename I>
__global__ void maxForward(T* out, I* indices, const T* input, PictureSizes from, Axis vertical,
                           Axis horizontal, PackWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        int64_t top, firstY, lastY, left, firstX, lastX;
        vertical.window(place.y, top, firstY, lastY);
        horizontal.window(place.x, left, firstX, lastX);
        const T* const picture = input + from.offset(place.picture, 0, 0) + place.channel * kPack;
        C best[kPack];
        int where[kPack];
#pragma unroll
        for (int k = 0; k < kPack; k++) {
            best[k] = -std::numeric_limits<C>::infinity();
            where[k] = static_cast<int>(firstY * horizontal.taps + firstX);
        }
        for (int64_t y = firstY; y < lastY; y++) {
            const T* const line = picture + (top + y * vertical.dilation) * from.width * from.channels;
#pragma unroll 4
            for (int64_t x = firstX; x < lastX; x++) {
                C values[kPack];
                loadPack(line + (left + x * horizontal.dilation) * from.channels, values);
                const int tap = static_cast<int>(y * horizontal.taps + x);
#pragma unroll
                for (int k = 0; k < kPack; k++) {
                    const bool take = values[k] > best[k] || values[k] != values[k];
                    best[k] = take ? values[k] : best[k];
                    if constexpr (withIndices) where[k] = take ? tap : where[k];
                }
            }
        }
        storePack(out + i * kPack, best);
        if constexpr (withIndices) {
            Pack<I, kPack> places;
#pragma unroll
            for (int k = 0; k < kPack; k++) places.values[k] = static_cast<I>(where[k]);
            *reinterpret_cast<Pack<I, kPack>*>(indices + i * kPack) = places;
        }
    }
}

template <int kPack, typename T, typename I>
__global__ void maxBackward(T* gradInput, const T* gradOutput, const I* indices, PictureSizes from,
                            Axis vertical, Axis horizontal, PackWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        int64_t lowY, highY, lowX, highX;
        vertical.covers(place.y, lowY, highY);
        horizontal.covers(place.x, lowX, highX);
        C sums[kPack] = {};
        for (int64_t y = lowY; y <= highY; y++) {
            const int64_t tapY = vertical.tapOf(y, place.y);
            if (tapY < 0) continue;
            for (int64_t x = lowX; x <= highX; x++) {
                const int64_t tapX = horizontal.tapOf(x, place.x);
                if (tapX < 0) continue;
                const int tap = static_cast<int>(tapY * horizontal.taps + tapX);
                const int64_t source = from.offset(place.picture, y, x) + place.channel * kPack;
                const auto places = *reinterpret_cast<const Pack<I, kPack>*>(indices + source);
                C gradients[kPack];
                loadPack(gradOutput + source, gradients);
#pragma unroll
                for (int k = 0; k < kPack; k++) sums[k] += places.values[k] == tap ? gradients[k] : C(0);
            }
        }
        storePack(gradInput + i * kPack, sums);
    }
}

template <typename C>
__device__ C divisorOf(int64_t high, int64_t wide, double given) {
    if (given != 0) return static_cast<C>(given);
    // A window without any tap averages nothing: its sum is zero, and so is the result.
    const int64_t extent = high * wide;
    return static_cast<C>(extent > 1 ? extent : 1);
}

// `sliced`: the window's taps are shared out to the slices of a block.
template <int kPack, bool sliced, typename T>
__global__ void averageForward(T* out, const T* input, PictureSizes from, Axis vertical, Axis horizontal,
                               double divisor, PackWalk walk) {
    using C = Compute<T>;
    // All threads of a block come to the same number of rounds.
    const int64_t step = globalThreads();
    for (int64_t start = static_cast<int64_t>(blockIdx.x) * blockDim.x; start < walk.count; start += step) {
        const int64_t i = start + threadIdx.x;
        C sums[kPack] = {};
        const bool active = i < walk.count;
        int64_t high = 0, wide = 0;
        if (active) {
            const PackWalk::Place place = walk.at(i);
            int64_t top, firstY, lastY, left, firstX, lastX;
            vertical.window(place.y, top, firstY, lastY);
            horizontal.window(place.x, left, firstX, lastX);
            high = vertical.extent(place.y);
            wide = horizontal.extent(place.x);
            const int64_t line = from.width * from.channels;
            const T* const window = input + from.offset(place.picture, top, left) + place.channel * kPack;
            if constexpr (sliced) {
                const int64_t columns = lastX - firstX, taps = (lastY - firstY) * columns;
#pragma unroll 4
                for (int64_t tap = threadIdx.y; tap < taps; tap += blockDim.y) {
                    const int64_t y = static_cast<uint32_t>(tap) / static_cast<uint32_t>(columns);
                    C values[kPack];
                    loadPack(window + (firstY + y) * line + (firstX + tap - y * columns) * from.channels,
                             values);
#pragma unroll
                    for (int k = 0; k < kPack; k++) sums[k] += values[k];
                }
            } else {
                for (int64_t y = firstY; y < lastY; y++) {
                    C lineSums[kPack] = {};  // keeps the error of large windows small
#pragma unroll 4
                    for (int64_t x = firstX; x < lastX; x++) {
                        C values[kPack];
                        loadPack(window + y * line + x * from.channels, values);
#pragma unroll
                        for (int k = 0; k < kPack; k++) lineSums[k] += values[k];
                    }
#pragma unroll
                    for (int k = 0; k < kPack; k++) sums[k] += lineSums[k];
                }
            }
        }
        if constexpr (sliced) sumOverSlices(sums);
        if (!active || threadIdx.y != 0) continue;
        const C by = divisorOf<C>(high, wide, divisor);
#pragma unroll
        for (int k = 0; k < kPack; k++) sums[k] /= by;
        storePack(out + i * kPack, sums);
    }
}

template <int kPack, typename T>
__global__ void averageBackward(T* gradInput, const T* gradOutput, PictureSizes from, Axis vertical,
                                Axis horizontal, double divisor, PackWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        int64_t lowY, highY, lowX, highX;
        vertical.covers(place.y, lowY, highY);
        horizontal.covers(place.x, lowX, highX);
        C sums[kPack] = {};
        for (int64_t y = lowY; y <= highY; y++) {
            const int64_t high = vertical.extent(y);
            for (int64_t x = lowX; x <= highX; x++) {
                const C by = divisorOf<C>(high, horizontal.extent(x), divisor);
                C gradients[kPack];
                loadPack(gradOutput + from.offset(place.picture, y, x) + place.channel * kPack, gradients);
#pragma unroll
                for (int k = 0; k < kPack; k++) sums[k] += gradients[k] / by;
            }
        }
        storePack(gradInput + i * kPack, sums);
    }
}

// body(type of the values, type of the indices)
template <typename Body>
void dispatchIndices(const View* indices, const Body& body) {
    if (indices && indices->dtype == DType::Int32) return body(TypeTag<int32_t>{});
    body(TypeTag<uint8_t>{});
}

}  // namespace

void maxPool2d(Context& context, const View& out, const View* indices, const View& input,
               const cpu::PoolGeometry& geometry) {
    const PictureSizes to(out), from(input);
    const Axis vertical(from.height, to.height, geometry, 0), horizontal(from.width, to.width, geometry, 1);
    dispatchFloating(out.dtype, [&](auto tag) {
        dispatchIndices(indices, [&](auto indexTag) {
            using T = typename decltype(tag)::type;
            using I = typename decltype(indexTag)::type;
            I* const places = dataOf<I>(indices);
            submit(context, "maxPool2d", [=](CudaRuntime& runtime) {
                withPacks<T>(to.channels, {out.data, input.data, places}, [&](auto pack) {
                    constexpr int kPack = decltype(pack)::value;
                    const PackWalk walk(to, kPack);
                    const auto run = [&](auto kernel) {
                        launch(kernel, gridFor(walk.count), runtime.stream(), out.as<T>(), places,
                               input.as<const T>(), from, vertical, horizontal, walk);
                    };
                    if (places) {
                        run(maxForward<kPack, true, T, I>);
                    } else {
                        run(maxForward<kPack, false, T, I>);
                    }
                });
            });
        });
    });
}

void maxPool2dBackward(Context& context, const View& gradInput, const View& gradOutput, const View& indices,
                       const cpu::PoolGeometry& geometry) {
    const PictureSizes to(gradInput), from(gradOutput);
    const Axis vertical(to.height, from.height, geometry, 0), horizontal(to.width, from.width, geometry, 1);
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        dispatchIndices(&indices, [&](auto indexTag) {
            using T = typename decltype(tag)::type;
            using I = typename decltype(indexTag)::type;
            submit(context, "maxPool2d backward", [=](CudaRuntime& runtime) {
                withPacks<T>(to.channels, {gradInput.data, gradOutput.data, indices.data}, [&](auto pack) {
                    constexpr int kPack = decltype(pack)::value;
                    if (NearPooling::fits(to, from, geometry)) {
                        const NearPooling near(to, from, geometry, kPack);
                        return launch(maxBackwardNear<kPack, T, I>, gridFor(near.count), runtime.stream(),
                                      gradInput.as<T>(), gradOutput.as<const T>(), indices.as<const I>(),
                                      near);
                    }
                    const PackWalk walk(to, kPack);
                    launch(maxBackward<kPack, T, I>, gridFor(walk.count), runtime.stream(), gradInput.as<T>(),
                           gradOutput.as<const T>(), indices.as<const I>(), from, vertical, horizontal, walk);
                });
            });
        });
    });
}

void averagePool2d(Context& context, const View& out, const View& input, const cpu::PoolGeometry& geometry) {
    const PictureSizes to(out), from(input);
    const Axis vertical(from.height, to.height, geometry, 0), horizontal(from.width, to.width, geometry, 1);
    submit(context, "avgPool2d", [=, divisor = geometry.divisor](CudaRuntime& runtime) {
        dispatchFloating(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            withPacks<T>(to.channels, {out.data, input.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const PackWalk walk(to, kPack);
                const SlicedGrid plan(walk.count, vertical.taps * horizontal.taps,
                                      kPack * sizeof(Compute<T>));
                if (plan.sliced) {
                    launchTogether(averageForward<kPack, true, T>, plan.grid, runtime.stream(), out.as<T>(),
                                   input.as<const T>(), from, vertical, horizontal, divisor, walk);
                } else {
                    launch(averageForward<kPack, false, T>, plan.grid, runtime.stream(), out.as<T>(),
                           input.as<const T>(), from, vertical, horizontal, divisor, walk);
                }
            });
        });
    });
}

void averagePool2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const cpu::PoolGeometry& geometry) {
    const PictureSizes to(gradInput), from(gradOutput);
    const Axis vertical(to.height, from.height, geometry, 0), horizontal(to.width, from.width, geometry, 1);
    submit(context, "avgPool2d backward", [=, divisor = geometry.divisor](CudaRuntime& runtime) {
        dispatchFloating(gradInput.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            withPacks<T>(to.channels, {gradInput.data, gradOutput.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const PackWalk walk(to, kPack);
                launch(averageBackward<kPack, T>, gridFor(walk.count), runtime.stream(), gradInput.as<T>(),
                       gradOutput.as<const T>(), from, vertical, horizontal, divisor, walk);
            });
        });
    });
}

}  // namespace anneal::cuda
