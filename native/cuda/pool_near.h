#pragma once

#include "cuda/pixels.h"

// The gradient of max pooling where at most two windows along each axis cover a position, as in most
// networks: all of them are loaded at once, in 32-bit arithmetic.
namespace anneal::cuda {

struct NearAxis {
    int output, kernel, stride, padding;
    Divider byStride;

    NearAxis(int64_t output, const cpu::PoolGeometry& geometry, int dim)
        : output(static_cast<int>(output)),
          kernel(static_cast<int>(geometry.kernel[dim])),
          stride(static_cast<int>(geometry.stride[dim])),
          padding(static_cast<int>(geometry.padding[dim])),
          byStride(static_cast<uint32_t>(stride)) {}

    // The first window that covers a position, and with which tap; the next one has a tap `stride` lower.
    __device__ int first(int position, int& tap) const {
        const int from = position + padding - (kernel - 1);
        const int window =
            from > 0 ? static_cast<int>(byStride.quotient(static_cast<uint32_t>(from + stride - 1))) : 0;
        tap = position + padding - window * stride;
        return window;
    }
    __device__ bool covers(int window, int tap) const { return window < output && tap >= 0; }
};

struct NearPooling {
    NearAxis vertical, horizontal;
    int count, channels;  // count: packs of the input's gradient
    Divider packs, width, height;

    NearPooling(const PictureSizes& to, const PictureSizes& from, const cpu::PoolGeometry& geometry, int pack)
        : vertical(from.height, geometry, 0),
          horizontal(from.width, geometry, 1),
          count(static_cast<int>(to.batch * to.height * to.width * (to.channels / pack))),
          channels(static_cast<int>(to.channels)),
          packs(static_cast<uint32_t>(to.channels / pack)),
          width(static_cast<uint32_t>(to.width)),
          height(static_cast<uint32_t>(to.height)) {}

    static bool fits(const PictureSizes& to, const PictureSizes& from, const cpu::PoolGeometry& geometry) {
        constexpr int64_t kMost = int64_t{1} << 30;
        if (geometry.adaptive) return false;
        for (int i = 0; i < 2; i++) {
            if (geometry.dilation[i] != 1 || geometry.kernel[i] > 2 * geometry.stride[i] ||
                geometry.stride[i] > kMost / 4 || geometry.padding[i] > kMost / 4) {
                return false;
            }
        }
        const auto few = [](const PictureSizes& sizes) {
            return sizes.batch * sizes.height * sizes.width * sizes.channels < kMost;
        };
        return few(to) && few(from) && to.batch * to.height * to.width * to.channels > 0;
    }
};

template <int kPack, typename T, typename I>
__global__ void maxBackwardNear(T* gradInput, const T* gradOutput, const I* indices, NearPooling g) {
    using C = Compute<T>;
    const auto take = [](const Divider& by, int& n) {
        const int whole = static_cast<int>(by.quotient(static_cast<uint32_t>(n)));
        const int rest = n - whole * static_cast<int>(by.divisor);
        n = whole;
        return rest;
    };
    const int step = static_cast<int>(globalThreads());
    for (int i = static_cast<int>(globalThread()); i < g.count; i += step) {
        int picture = i;
        const int channel = take(g.packs, picture) * kPack, x = take(g.width, picture),
                  y = take(g.height, picture);
        int down, right;
        const int top = g.vertical.first(y, down), left = g.horizontal.first(x, right);
        const int base = ((picture * g.vertical.output + top) * g.horizontal.output + left) * g.channels;
        Pack<I, kPack> places[4];
        Pack<T, kPack> gradients[4];
        int taps[4];
#pragma unroll
        for (int w = 0; w < 4; w++) {
            const int tapY = down - w / 2 * g.vertical.stride, tapX = right - w % 2 * g.horizontal.stride;
            const bool covers =
                g.vertical.covers(top + w / 2, tapY) && g.horizontal.covers(left + w % 2, tapX);
            // Where there is no such window any will do, whose tap is none: loads without branches overlap.
            taps[w] = covers ? tapY * g.horizontal.kernel + tapX : -1;
            const int window = base + (w / 2 * g.horizontal.output + w % 2) * g.channels;
            const int source = (covers ? window : 0) + channel;
            places[w] = *reinterpret_cast<const Pack<I, kPack>*>(indices + source);
            gradients[w] = *reinterpret_cast<const Pack<T, kPack>*>(gradOutput + source);
        }
        C sums[kPack] = {};
#pragma unroll
        for (int w = 0; w < 4; w++) {
#pragma unroll
            for (int k = 0; k < kPack; k++) {
                const bool taken = static_cast<int>(places[w].values[k]) == taps[w];
                sums[k] += taken ? toCompute(gradients[w].values[k]) : C(0);
            }
        }
        storePack(gradInput + static_cast<int64_t>(i) * kPack, sums);
    }
}

}  // namespace anneal::cuda
