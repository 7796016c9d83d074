#pragma once

#include "cuda/conv_narrow_weight.h"
#include "cuda/walk.h"

// Convolutions of few channels, for which libraries have no kernel of a fitting size: weights in shared
// memory, a few output channels of a pixel in a thread's registers. Memory as in conv_plain.h, one group.
namespace anneal::cuda {

namespace narrow {

// Forward, and the gradient of the input, which gathers with inputs and outputs exchanged and taps flipped:
// tap t of position p reads position (p * step - padding + t * dilation) / divisor, if that is one.
struct Gather {
    int pixels, height, width, channels;      // of what is written
    int fromHeight, fromWidth, fromChannels;  // of what is read
    int kernel[2], step[2], padding[2], dilation[2], divisor[2];
    bool flipped, lines;  // lines: the taps of a row read neighbouring pixels
    int columns;          // groups of channels in a block
    Divider byInner, byFromChannels, byWidth, byHeight;
    int terms() const { return kernel[0] * kernel[1] * fromChannels; }

    Gather(cpu::ConvDirection direction, const ConvShape& g) {
        const bool forward = direction == cpu::ConvDirection::Forward;
        const auto& to = forward ? g.output : g.input;
        const auto& from = forward ? g.input : g.output;
        pixels = static_cast<int>(to[0] * to[2] * to[3]);
        height = static_cast<int>(to[2]);
        width = static_cast<int>(to[3]);
        channels = static_cast<int>(to[1]);
        fromHeight = static_cast<int>(from[2]);
        fromWidth = static_cast<int>(from[3]);
        fromChannels = static_cast<int>(from[1]);
        for (int i = 0; i < 2; i++) {
            const auto stride = static_cast<int>(g.stride[i]);
            kernel[i] = static_cast<int>(g.weight[2 + i]);
            dilation[i] = static_cast<int>(g.dilation[i]);
            step[i] = forward ? stride : 1;
            divisor[i] = forward ? 1 : stride;
            const auto given = static_cast<int>(g.padding[i]);
            padding[i] = forward ? given : (kernel[i] - 1) * dilation[i] - given;
        }
        flipped = !forward;
        lines = divisor[1] == 1 && (dilation[1] == 1 || kernel[1] == 1);
        columns = 1;
        const auto by = [](int divisor) { return Divider(static_cast<uint32_t>(divisor)); };
        byFromChannels = by(fromChannels);
        byWidth = by(width);
        byHeight = by(height);
    }
};

// Whether there is no remainder.
__device__ inline bool divide(int& position, int divisor) {
    if (divisor == 1) return true;
    const int whole = position / divisor, rest = position - whole * divisor;
    position = whole;
    return rest == 0;
}

// sums += the products of `length` neighbouring elements with as many rows of weights.
template <int kOutputs, int kPack, typename T>
__device__ inline void addProducts(Compute<T> (&sums)[kOutputs], const T* from, const Compute<T>* weights,
                                   int length, int rowOfWeights) {
    using C = Compute<T>;
#pragma unroll 4
    for (int j = 0; j < length; j += kPack) {
        C x[kPack];
        loadPack(from + j, x);
#pragma unroll
        for (int v = 0; v < kPack; v++) {
            C w[kOutputs];
            loadPack(weights + (j + v) * rowOfWeights, w);
#pragma unroll
            for (int o = 0; o < kOutputs; o++) sums[o] += x[v] * w[o];
        }
    }
}

template <int kOutputs, int kPack, typename T>
__global__ void gather(T* to, const T* from, const T* w, Gather g) {
    using C = Compute<T>;
    C* const weights = sharedMemory<C>();  // [terms][columns * kOutputs]
    const int row = g.columns * kOutputs, first = static_cast<int>(blockIdx.y) * row;
    const int taps = g.kernel[0] * g.kernel[1], terms = taps * g.fromChannels;
    const auto quotient = [](const Divider& by, int n) {
        return static_cast<int>(by.quotient(static_cast<uint32_t>(n)));
    };
    const int inner = g.flipped ? row : terms, ofChannel = g.flipped ? 1 : terms,
              ofTerm = g.flipped ? taps * g.channels : 1, ofTap = g.flipped ? -g.channels : g.fromChannels,
              firstTap = g.flipped ? (taps - 1) * g.channels : 0;
    constexpr int kBatch = 8;  // loads under way
    const int threads = static_cast<int>(blockDim.x), all = terms * row;
    for (int start = static_cast<int>(threadIdx.x); start < all; start += kBatch * threads) {
        C values[kBatch];
        int places[kBatch];
#pragma unroll
        for (int b = 0; b < kBatch; b++) {
            // In the order in which weights lie in memory, or that of shared memory.
            const int i = start + b * threads, whole = quotient(g.byInner, i), rest = i - whole * inner;
            const int term = g.flipped ? whole : rest, column = g.flipped ? rest : whole;
            const int tap = quotient(g.byFromChannels, term), c = term - tap * g.fromChannels;
            const int source = (first + column) * ofChannel + c * ofTerm + tap * ofTap + firstTap;
            values[b] = i < all && first + column < g.channels ? toCompute(w[source]) : C(0);
            places[b] = term * row + column;
        }
#pragma unroll
        for (int b = 0; b < kBatch; b++) {
            if (start + b * threads < all) weights[places[b]] = values[b];
        }
    }
    __syncthreads();
    const int lane = static_cast<int>(threadIdx.x) / g.columns,
              column = static_cast<int>(threadIdx.x) % g.columns;
    const int perBlock = static_cast<int>(blockDim.x) / g.columns;
    if (lane >= perBlock) return;
    const int channel = first + column * kOutputs;
    const C* const own = weights + column * kOutputs;
    const int step = static_cast<int>(gridDim.x) * perBlock;
    for (int pixel = static_cast<int>(blockIdx.x) * perBlock + lane; pixel < g.pixels; pixel += step) {
        const int above = quotient(g.byWidth, pixel), n = quotient(g.byHeight, above);
        const int left = (pixel - above * g.width) * g.step[1] - g.padding[1],
                  top = (above - n * g.height) * g.step[0] - g.padding[0];
        C sums[kOutputs] = {};
        for (int r = 0; r < g.kernel[0]; r++) {
            int y = top + r * g.dilation[0];
            if (!divide(y, g.divisor[0]) || y < 0 || y >= g.fromHeight) continue;
            const T* const line =
                from + static_cast<int64_t>(n * g.fromHeight + y) * (g.fromWidth * g.fromChannels);
            const int tap = r * g.kernel[1];
            if (g.lines) {
                const int begin = left < 0 ? -left : 0,
                          end = left + g.kernel[1] > g.fromWidth ? g.fromWidth - left : g.kernel[1];
                addProducts<kOutputs, kPack>(sums, line + (left + begin) * g.fromChannels,
                                             own + (tap + begin) * g.fromChannels * row,
                                             (end - begin) * g.fromChannels, row);
                continue;
            }
            for (int s = 0; s < g.kernel[1]; s++) {
                int x = left + s * g.dilation[1];
                if (!divide(x, g.divisor[1]) || x < 0 || x >= g.fromWidth) continue;
                addProducts<kOutputs, kPack>(sums, line + x * g.fromChannels,
                                             own + (tap + s) * g.fromChannels * row, g.fromChannels, row);
            }
        }
        T* const written = to + static_cast<int64_t>(pixel) * g.channels + channel;
#pragma unroll
        for (int o = 0; o < kOutputs; o++) {
            if (channel + o < g.channels) written[o] = fromCompute<T>(sums[o]);
        }
    }
}

template <typename T>
void launchGather(cudaStream_t stream, T* to, const T* from, const T* w, Gather g) {
    constexpr int kBlock = 128, kBusy = 24000;  // threads that a large GPU should have
    const auto run = [&](auto outputs, auto pack) {
        constexpr int kOutputs = decltype(outputs)::value, kPack = decltype(pack)::value;
        const size_t column = static_cast<size_t>(g.terms()) * kOutputs * sizeof(Compute<T>);
        const int groups = (g.channels + kOutputs - 1) / kOutputs;
        g.columns = std::clamp(static_cast<int>(kSharedBytes / column), 1, std::min(groups, 16));
        g.byInner = Divider(static_cast<uint32_t>(g.flipped ? g.columns * kOutputs : g.terms()));
        const int perBlock = kBlock / g.columns;
        const dim3 blocks(static_cast<unsigned>(std::min((g.pixels + perBlock - 1) / perBlock, 132 * 16)),
                          static_cast<unsigned>((groups + g.columns - 1) / g.columns));
        const Grid grid{blocks, dim3(kBlock), column * static_cast<size_t>(g.columns)};
        launchTogether(gather<kOutputs, kPack, T>, grid, stream, to, from, w, g);
    };
    const auto packed = [&](auto outputs) {
        if (packable<T>(g.fromChannels, 4, from)) return run(outputs, std::integral_constant<int, 4>{});
        if (packable<T>(g.fromChannels, 2, from)) return run(outputs, std::integral_constant<int, 2>{});
        run(outputs, std::integral_constant<int, 1>{});
    };
    // The more channels a thread has, the fewer loads there are, and the fewer threads.
    const auto enough = [&](int outputs) {
        return g.channels > outputs / 2 &&
               static_cast<int64_t>(g.pixels) * ((g.channels + outputs - 1) / outputs) >= kBusy &&
               static_cast<size_t>(g.terms() * outputs) * sizeof(Compute<T>) <= kSharedBytes;
    };
    if (enough(8)) return packed(std::integral_constant<int, 8>{});
    if (enough(4)) return packed(std::integral_constant<int, 4>{});
    packed(std::integral_constant<int, 2>{});
}

}  // namespace narrow

// Whether convolveNarrow() takes this, which does not say that it is faster than others.
inline bool narrowFits(cpu::ConvDirection direction, const ConvShape& g) {
    constexpr int64_t kMostTerms = 1024, kMostWeights = 32768, kMostChannels = 64;
    constexpr int64_t kInts = (int64_t{1} << 31) - 1, kFar = 1 << 10;
    if (g.groups != 1) return false;
    for (int i = 0; i < 4; i++) {
        for (const int64_t size : {g.input[i], g.weight[i], g.output[i]}) {
            if (size < 1 || size > kInts) return false;
        }
    }
    // What positions beyond the edges come to fits into an int as well.
    int64_t in = g.input[0] + 1, out = g.output[0] + 1;
    for (int i = 0; i < 2; i++) {
        if (g.weight[2 + i] > kMostTerms || g.dilation[i] > kFar || g.stride[i] > kFar) return false;
        const int64_t beyond = 2 * g.padding[i] + g.weight[2 + i] * g.dilation[i] + g.stride[i];
        if (g.padding[i] > (int64_t{1} << 20) || in > kInts / (g.input[2 + i] + beyond) ||
            out > kInts / (g.output[2 + i] + beyond)) {
            return false;
        }
        in *= g.input[2 + i] + beyond;
        out *= g.output[2 + i] + beyond;
    }
    if (in > kInts / g.input[1] || out > kInts / g.output[1]) return false;
    const bool toInput = direction == cpu::ConvDirection::BackwardInput;
    const int64_t written = toInput ? g.input[1] : g.output[1], read = toInput ? g.output[1] : g.input[1];
    const int64_t taps = g.weight[2] * g.weight[3];
    return written <= kMostChannels && read <= kMostTerms && taps * read <= kMostTerms &&
           written * read * taps <= kMostWeights;
}

// Bytes of scratch memory, aligned for doubles.
inline size_t narrowScratch(cpu::ConvDirection direction, const ConvShape& g) {
    if (direction != cpu::ConvDirection::BackwardWeight) return 0;
    const narrow::WeightSums plan(g);
    return static_cast<size_t>(plan.parts) * plan.outputs * plan.terms * sizeof(double);
}

template <typename T>
void convolveNarrow(cudaStream_t stream, cpu::ConvDirection direction, T* x, T* w, T* y, const ConvShape& g,
                    void* scratch) {
    switch (direction) {
        case cpu::ConvDirection::Forward:
            return narrow::launchGather<T>(stream, y, x, w, narrow::Gather(direction, g));
        case cpu::ConvDirection::BackwardInput:
            return narrow::launchGather<T>(stream, x, y, w, narrow::Gather(direction, g));
        case cpu::ConvDirection::BackwardWeight:
            return narrow::launchWeight<T>(stream, w, x, y, g, static_cast<Compute<T>*>(scratch));
    }
}

}  // namespace anneal::cuda
