#pragma once

#include "cuda/launch.h"

// What the threads of a block work out together. All of them must call these, in the same places, in kernels
// started with launchTogether and whole warps.
namespace anneal::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

// `merge(a, b)` over the lanes of a warp, the same for all of them and in a fixed order.
template <typename T, typename Merge>
__device__ inline T reduceWarp(T value, const Merge& merge) {
#pragma unroll
    for (int bits = kWarp / 2; bits > 0; bits /= 2)
        value = merge(value, __shfl_xor_sync(kAllLanes, value, bits));
    return value;
}

// The same over a block. `scratch` holds an element for each warp; it may be used again at once.
template <typename T, typename Merge>
__device__ inline T reduceBlock(T value, T* scratch, T neutral, const Merge& merge) {
    const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp,
                   warps = (blockDim.x + kWarp - 1) / kWarp;
    value = reduceWarp(value, merge);
    if (lane == 0) scratch[warp] = value;
    __syncthreads();
    value = reduceWarp(lane < warps ? scratch[lane] : neutral, merge);
    __syncthreads();
    return value;
}

struct Plus {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a + b;
    }
};

// A NaN on either side wins.
struct Larger {
    template <typename T>
    __device__ T operator()(T a, T b) const {
        return a > b || a != a ? a : b;
    }
};

template <typename T>
__device__ inline T sumOverBlock(T value, T* scratch) {
    return reduceBlock(value, scratch, T{}, Plus{});
}

}  // namespace anneal::cuda
