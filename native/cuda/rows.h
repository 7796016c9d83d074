#pragma once

#include "cuda/row_teams.h"

// How kernels go through matrices of [rows, channels] whose channels lie together: neighbouring threads of a
// block take neighbouring channels (one, or a pack of them), as many as there are up to a warp, its slices
// neighbouring rows, and blocks of a column of the grid go on in strides.
namespace anneal::cuda {

struct Rows {
    int64_t rows, channels;
};

// The grid for `together` channels a thread; `most` blocks of rows at most.
inline Grid rowsGrid(int64_t rows, int64_t channels, int together, int64_t most) {
    const int64_t packs = (channels + together - 1) / together;
    unsigned lanes = 1;
    while (lanes < packs && lanes < kWarp) lanes *= 2;
    unsigned slices = kThreads / lanes;
    while (slices > 1 && slices * 4 > rows) slices /= 2;  // each thread has a few
    const int64_t columns = (packs + lanes - 1) / lanes;
    const int64_t blocks =
        std::clamp<int64_t>((rows + slices - 1) / slices, 1, std::clamp<int64_t>(most / columns, 1, 65535));
    return {dim3(static_cast<unsigned>(columns), static_cast<unsigned>(blocks)), dim3(lanes, slices), 0};
}

// Blocks that keep a large GPU busy when each waits for memory most of the time.
constexpr int64_t kManyBlocks = 132 * 8;
// For sums, whose parts are joined afterwards.
constexpr int64_t kSomeBlocks = 132 * 4;

// Whether packs of `together` elements may be used: rows start at multiples of that, as do the memories
// given.
template <typename T, typename... Pointers>
bool packable(int64_t channels, int together, const Pointers*... pointers) {
    const size_t bytes = static_cast<size_t>(together) * sizeof(T);
    return channels % together == 0 && ((reinterpret_cast<uintptr_t>(pointers) % bytes == 0) && ...);
}

// The first of the `together` channels of a thread.
template <int together>
__device__ inline int64_t firstChannel() {
    return (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * together;
}

// A thread's share of the part of the rows that a column of blocks sums, in runs: body(row) for each row,
// flush() after kRunOfRows of them, before sums in the type computed in lose digits.
constexpr int64_t kRunOfRows = 64;
template <typename Body, typename Flush>
__device__ inline void forRowsOfPart(const Rows& size, const Body& body, const Flush& flush) {
    const int64_t part = blockIdx.y, step = blockDim.y;
    const int64_t begin = size.rows * part / gridDim.y, end = size.rows * (part + 1) / gridDim.y;
    for (int64_t start = begin + threadIdx.y; start < end; start += step * kRunOfRows) {
        const int64_t last = start + step * kRunOfRows < end ? start + step * kRunOfRows : end;
#pragma unroll 4
        for (int64_t row = start; row < last; row += step) body(row);
        flush();
    }
}

// Joins what the slices of a block have, which are a power of two: the result is that of slice 0, or of all
// of them. `scratch` holds an element for each thread; it may be used again at once.
template <typename State, typename Merge>
__device__ inline State joinSlices(State state, State* scratch, const Merge& merge, bool forAll = false) {
    State* const mine = scratch + threadIdx.y * blockDim.x + threadIdx.x;
    *mine = state;
    for (unsigned half = blockDim.y / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.y < half) *mine = merge(*mine, mine[half * blockDim.x]);
    }
    if (forAll) __syncthreads();
    state = forAll ? scratch[threadIdx.x] : *mine;
    __syncthreads();
    return state;
}

// The first stage of `kSums` sums over the rows for each channel: body(row, sums) adds what a row has for
// channel firstChannel() + k to sums[s][k], and what a part of the rows comes to is written to
// results[(part * kSums + s) * channels + channel], for a kernel of joinGrid() to join.
template <int kSums, int together, typename C, typename Body>
__device__ inline void sumPart(const Rows& size, double* results, const Body& body) {
    __shared__ double scratch[kThreads];
    const int64_t c = firstChannel<together>();
    double totals[kSums][together] = {};
    if (c < size.channels) {
        C sums[kSums][together] = {};
        forRowsOfPart(
            size, [&](int64_t row) { body(row, sums); },
            [&] {
#pragma unroll
                for (int s = 0; s < kSums; s++) {
#pragma unroll
                    for (int k = 0; k < together; k++) {
                        totals[s][k] += static_cast<double>(sums[s][k]);
                        sums[s][k] = 0;
                    }
                }
            });
    }
#pragma unroll
    for (int k = 0; k < together; k++) {
#pragma unroll
        for (int s = 0; s < kSums; s++) {
            const double total = joinSlices(totals[s][k], scratch, Plus{});
            if (c >= size.channels || threadIdx.y != 0) continue;
            results[(static_cast<int64_t>(blockIdx.y) * kSums + s) * size.channels + c + k] = total;
        }
    }
}

// A block for a few channels, whose slices share out the parts that are to be joined.
inline Grid joinGrid(int64_t channels, int64_t parts) {
    constexpr unsigned kLanes = 8;
    unsigned slices = 1;
    while (slices < parts && slices * kLanes < kThreads) slices *= 2;
    return {dim3(static_cast<unsigned>((channels + kLanes - 1) / kLanes)), dim3(kLanes, slices), 0};
}

}  // namespace anneal::cuda
