// Resampling to another size on channels-last pictures: a thread for a pack of channels of an output
// (forward) or of an input position (backward). Backward gathers: each input position adds up the outputs
// that read it, so that the order of additions is fixed.
#include <cmath>

#include "cuda/pixels.h"

namespace anneal::cuda {

namespace {

// output = from[first] * (1 - share) + from[second] * share
template <typename C>
struct Blend {
    int64_t first, second;
    C share;
};

// One dimension, by PyTorch's rules (aten/src/ATen/native/UpSample.h) in the precision it computes them in.
template <typename C>
struct Axis {
    int64_t input, output;
    C step;
    bool linear, aligned;

    Axis(int64_t input, int64_t output, const cpu::InterpolateOptions& options, int i)
        : input(input), output(output), linear(options.linear), aligned(linear && options.alignCorners) {
        step = options.scale[i] > 0 ? static_cast<C>(1 / options.scale[i])
                                    : static_cast<C>(input) / static_cast<C>(output);
        if (aligned) step = output > 1 ? static_cast<C>(input - 1) / static_cast<C>(output - 1) : C(0);
    }
    __device__ Blend<C> at(int64_t o) const {
        const C place = static_cast<C>(o);
        const int64_t end = input - 1;
        if (!linear) {
            const auto source = static_cast<int64_t>(std::floor(static_cast<float>(place * step)));
            return {source < end ? source : end, 0, C(0)};
        }
        if (input == output) return {o, o, C(0)};
        C source = aligned ? place * step : step * (place + C(0.5)) - C(0.5);
        if (source < 0) source = 0;
        int64_t first = static_cast<int64_t>(source);
        if (first > end) first = end;
        C share = source - static_cast<C>(first);
        share = share < 0 ? C(0) : share > 1 ? C(1) : share;
        return {first, first < end ? first + 1 : end, share};
    }
    // The weight with which output o reads a position.
    __device__ C weight(int64_t o, int64_t position) const {
        const Blend<C> blend = at(o);
        C sum = blend.first == position ? 1 - blend.share : C(0);
        if (linear && blend.share != 0 && blend.second == position) sum += blend.share;
        return sum;
    }
    // The outputs [low, high] among which are all that read a position.
    __device__ void readers(int64_t position, int64_t& low, int64_t& high) const {
        low = 0;
        high = output - 1;
        if (linear && input == output) {
            low = high = position;
            return;
        }
        if (!(step > 0)) return;
        const double by = static_cast<double>(step), shift = linear && !aligned ? 0.5 : 0.0;
        const double before = static_cast<double>(linear ? position - 1 : position),
                     after = static_cast<double>(position + 1);
        // One more on either side, as positions are rounded; what lies past an edge reads the edge.
        const double from = std::floor((before + shift) / by - shift) - 1,
                     to = std::ceil((after + shift) / by - shift) + 1;
        if (position > 0 && from > 0)
            low = from < static_cast<double>(high) ? static_cast<int64_t>(from) : high;
        if (position < input - 1 && to < static_cast<double>(high))
            high = to > 0 ? static_cast<int64_t>(to) : 0;
    }
};

// Copies, in words of any size.
template <typename Word, typename C>
__global__ void nearestForward(Word* out, const Word* input, int64_t words, PictureSizes from,
                               Axis<C> vertical, Axis<C> horizontal, PackWalk walk) {
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        const int64_t y = vertical.at(place.y).first, x = horizontal.at(place.x).first;
        out[i] = input[((place.picture * from.height + y) * from.width + x) * words + place.channel];
    }
}

template <int kPack, typename T>
__global__ void linearForward(T* out, const T* input, PictureSizes from, Axis<Compute<T>> vertical,
                              Axis<Compute<T>> horizontal, PackWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        const Blend<C> high = vertical.at(place.y), wide = horizontal.at(place.x);
        const C down = high.share, up = 1 - down, rightward = wide.share, leftward = 1 - rightward;
        const T* const picture = input + from.offset(place.picture, 0, 0) + place.channel * kPack;
        const T *const upper = picture + high.first * from.width * from.channels, *const lower =
                                                                                      picture +
                                                                                      high.second *
                                                                                          from.width *
                                                                                          from.channels;
        const int64_t left = wide.first * from.channels, right = wide.second * from.channels;
        C a[kPack], b[kPack], c[kPack], d[kPack];
        loadPack(upper + left, a);
        loadPack(upper + right, b);
        loadPack(lower + left, c);
        loadPack(lower + right, d);
#pragma unroll
        for (int k = 0; k < kPack; k++) {
            const C above = a[k] * leftward + b[k] * rightward, below = c[k] * leftward + d[k] * rightward;
            a[k] = above * up + below * down;
        }
        storePack(out + i * kPack, a);
    }
}

// `sliced`: the rows of outputs are shared out to the slices of a block.
template <int kPack, bool sliced, typename T>
__global__ void backward(T* gradInput, const T* gradOutput, PictureSizes from, Axis<Compute<T>> vertical,
                         Axis<Compute<T>> horizontal, PackWalk walk) {
    using C = Compute<T>;
    const int64_t slice = sliced ? threadIdx.y : 0, slices = sliced ? blockDim.y : 1;
    const int64_t step = globalThreads();
    for (int64_t start = static_cast<int64_t>(blockIdx.x) * blockDim.x; start < walk.count; start += step) {
        const int64_t i = start + threadIdx.x;
        const bool active = i < walk.count;
        C sums[kPack] = {};
        if (active) {
            const PackWalk::Place place = walk.at(i);
            int64_t lowY, highY, lowX, highX;
            vertical.readers(place.y, lowY, highY);
            horizontal.readers(place.x, lowX, highX);
            for (int64_t y = lowY + slice; y <= highY; y += slices) {
                const C high = vertical.weight(y, place.y);
                if (high == 0) continue;
                C lineSums[kPack] = {};
                for (int64_t x = lowX; x <= highX; x++) {
                    const C wide = horizontal.weight(x, place.x);
                    if (wide == 0) continue;
                    C gradients[kPack];
                    loadPack(gradOutput + from.offset(place.picture, y, x) + place.channel * kPack,
                             gradients);
#pragma unroll
                    for (int k = 0; k < kPack; k++) lineSums[k] += gradients[k] * wide;
                }
#pragma unroll
                for (int k = 0; k < kPack; k++) sums[k] += lineSums[k] * high;
            }
        }
        if constexpr (sliced) sumOverSlices(sums);
        if (active && slice == 0) storePack(gradInput + i * kPack, sums);
    }
}

template <typename Word>
void launchNearest(CudaRuntime& runtime, const View& out, const View& input, int64_t words,
                   const cpu::InterpolateOptions& options) {
    PictureSizes to(out);
    const PictureSizes from(input);
    to.channels = words;
    const PackWalk walk(to, 1);
    const auto run = [&](auto tag) {
        using C = typename decltype(tag)::type;
        launch(nearestForward<Word, C>, gridFor(walk.count), runtime.stream(), out.as<Word>(),
               input.as<const Word>(), words, from, Axis<C>(from.height, to.height, options, 0),
               Axis<C>(from.width, to.width, options, 1), walk);
    };
    if (out.dtype == DType::Float64) return run(TypeTag<double>{});
    run(TypeTag<float>{});
}

struct alignas(16) SixteenBytes {
    uint64_t halves[2];
};

}  // namespace

void interpolate2d(Context& context, const View& out, const View& input,
                   const cpu::InterpolateOptions& options) {
    submit(context, "interpolate", [=](CudaRuntime& runtime) {
        const PictureSizes to(out), from(input);
        if (!options.linear) {
            const auto bytes = static_cast<int64_t>(dtypeSize(out.dtype)), pixel = bytes * to.channels;
            if (pixel % 16 == 0 && isPacked(out.data) && isPacked(input.data))
                return launchNearest<SixteenBytes>(runtime, out, input, pixel / 16, options);
            switch (bytes) {
                case 1:
                    return launchNearest<uint8_t>(runtime, out, input, to.channels, options);
                case 2:
                    return launchNearest<uint16_t>(runtime, out, input, to.channels, options);
                case 4:
                    return launchNearest<uint32_t>(runtime, out, input, to.channels, options);
                default:
                    return launchNearest<uint64_t>(runtime, out, input, to.channels, options);
            }
        }
        dispatchFloating(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            withPacks<T>(to.channels, {out.data, input.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const PackWalk walk(to, kPack);
                launch(linearForward<kPack, T>, gridFor(walk.count), runtime.stream(), out.as<T>(),
                       input.as<const T>(), from, Axis<C>(from.height, to.height, options, 0),
                       Axis<C>(from.width, to.width, options, 1), walk);
            });
        });
    });
}

void interpolate2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const cpu::InterpolateOptions& options) {
    submit(context, "interpolate backward", [=](CudaRuntime& runtime) {
        const PictureSizes to(gradInput), from(gradOutput);
        dispatchFloating(gradInput.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            const Axis<C> vertical(to.height, from.height, options, 0),
                horizontal(to.width, from.width, options, 1);
            withPacks<T>(to.channels, {gradInput.data, gradOutput.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const PackWalk walk(to, kPack);
                // What an input position takes on average: rows are what slices share out.
                const int64_t rows = from.height / to.height, columns = from.width / to.width;
                const SlicedGrid plan(walk.count, rows >= 4 ? rows * std::max<int64_t>(columns, 1) : 0,
                                      kPack * sizeof(C));
                if (plan.sliced) {
                    launchTogether(backward<kPack, true, T>, plan.grid, runtime.stream(), gradInput.as<T>(),
                                   gradOutput.as<const T>(), from, vertical, horizontal, walk);
                } else {
                    launch(backward<kPack, false, T>, plan.grid, runtime.stream(), gradInput.as<T>(),
                           gradOutput.as<const T>(), from, vertical, horizontal, walk);
                }
            });
        });
    });
}

}  // namespace anneal::cuda
