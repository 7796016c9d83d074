#pragma once

#include "cuda/launch.h"
#include "cuda/types.h"

// How kernels go through matrices of [rows, channels] whose channels lie together: threads of a warp take
// neighbouring channels (one, or a pack of them), the warps of a block neighbouring rows, and blocks of a
// column of the grid go on in strides.
namespace anneal::cuda {

constexpr int kRowThreads = 8;  // warps of a block

struct Rows {
    int64_t rows, channels;
};

// The grid for `together` channels a thread; `most` blocks of rows at most.
inline Grid rowsGrid(int64_t rows, int64_t channels, int together, int64_t most) {
    const int64_t columns = (channels + kWarp * together - 1) / (kWarp * together);
    const int64_t blocks = std::clamp<int64_t>((rows + kRowThreads - 1) / kRowThreads, 1,
                                               std::clamp<int64_t>(most / columns, 1, 65535));
    return {dim3(static_cast<unsigned>(columns), static_cast<unsigned>(blocks)), dim3(kWarp, kRowThreads), 0};
}

// Blocks that keep a large GPU busy when each waits for memory most of the time.
constexpr int64_t kManyBlocks = 132 * 8;
// For sums, whose parts are joined afterwards.
constexpr int64_t kSomeBlocks = 132 * 4;

// Whether packs of 16 bytes may be used: rows start at multiples of it, as do all of the memories given.
template <typename T, typename... Pointers>
bool packable(int64_t channels, const Pointers*... pointers) {
    return channels % (16 / static_cast<int64_t>(sizeof(T))) == 0 &&
           ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

template <typename T, int count>
__device__ inline Pack<T, count> loadPack(const T* from) {
    return *reinterpret_cast<const Pack<T, count>*>(from);
}
template <typename T, int count>
__device__ inline void storePack(T* to, const Pack<T, count>& pack) {
    *reinterpret_cast<Pack<T, count>*>(to) = pack;
}

// Sums of short runs in the type computed in go to double before they lose digits.
template <typename C>
struct LongSum {
    double total = 0;
    C block = 0;
    int count = 0;
    __device__ void add(C value) {
        block += value;
        if (++count == 64) flush();
    }
    __device__ void flush() {
        total += static_cast<double>(block);
        block = 0;
        count = 0;
    }
};

// Adds up what the warps of a block have for each of its channels: the result is warp 0's.
__device__ inline double sumOverWarps(double value, double (&scratch)[kRowThreads][kWarp]) {
    scratch[threadIdx.y][threadIdx.x] = value;
    __syncthreads();
    if (threadIdx.y == 0) {
        for (int warp = 1; warp < kRowThreads; warp++) value += scratch[warp][threadIdx.x];
    }
    __syncthreads();
    return value;
}

}  // namespace anneal::cuda
