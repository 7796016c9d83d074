#pragma once

#include <cuda_runtime.h>  // in emulated builds: native/test/emulation

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuda/check.h"

namespace anneal::cuda {

struct Grid {
    dim3 blocks, threads;
    size_t sharedBytes = 0;
};

constexpr int kThreads = 256;
constexpr int kWarp = 32;

// Enough threads to fill any GPU several times over; kernels go on in strides of the whole grid.
inline Grid gridFor(int64_t count, int threads = kThreads) {
    const int64_t blocks = (count + threads - 1) / threads;
    return {dim3(static_cast<unsigned>(std::clamp<int64_t>(blocks, 1, 4096))),
            dim3(static_cast<unsigned>(threads)), 0};
}

// A block for each of `count` items, the kernel striding where there are more.
inline Grid blocksFor(int64_t count, int threads = kThreads, size_t sharedBytes = 0) {
    return {dim3(static_cast<unsigned>(std::clamp<int64_t>(count, 1, 65535))),
            dim3(static_cast<unsigned>(threads)), sharedBytes};
}

// Starts a kernel whose threads know nothing of each other.
template <typename... Params, typename... Args>
void launch(void (*kernel)(Params...), const Grid& grid, cudaStream_t stream, Args... args) {
#ifdef ANNEAL_CUDA_EMULATED
    (void)stream;
    emulation::run(grid.blocks, grid.threads, grid.sharedBytes, false, [&] { kernel(args...); });
#else
    kernel<<<grid.blocks, grid.threads, grid.sharedBytes, stream>>>(args...);
    check(cudaGetLastError(), "a kernel could not be started");
#endif
}

// Starts a kernel whose threads wait for each other: __syncthreads, shuffles. Only the emulation tells the
// two apart: there these threads are fibers, and those of launch() run one after the other.
template <typename... Params, typename... Args>
void launchTogether(void (*kernel)(Params...), const Grid& grid, cudaStream_t stream, Args... args) {
#ifdef ANNEAL_CUDA_EMULATED
    (void)stream;
    emulation::run(grid.blocks, grid.threads, grid.sharedBytes, true, [&] { kernel(args...); });
#else
    launch(kernel, grid, stream, args...);
#endif
}

// The block's memory whose size the launch decides.
template <typename T>
__device__ inline T* sharedMemory() {
#ifdef ANNEAL_CUDA_EMULATED
    return static_cast<T*>(emulation::sharedMemory());
#else
    extern __shared__ __align__(16) unsigned char sharedBytes[];
    return reinterpret_cast<T*>(sharedBytes);
#endif
}

__device__ inline int64_t globalThread() {
    return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ inline int64_t globalThreads() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

}  // namespace anneal::cuda
