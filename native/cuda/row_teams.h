#pragma once

#include <algorithm>
#include <limits>

#include "cuda/collective.h"
#include "cuda/types.h"

// Kernels that work row by row. Each row belongs to a team of threads: a few lanes of a warp where rows are
// short, a block where they are long. All threads of a warp or block go through the same steps: a team
// without a row has one of size zero.
namespace anneal::cuda {

struct LaneTeam {
    static constexpr bool kBlock = false;
    int width, rank;
    bool active;
    int64_t size;

    template <typename T, typename Merge>
    __device__ T reduce(T value, T, const Merge& merge) const {
        for (int bits = width / 2; bits > 0; bits /= 2)
            value = merge(value, __shfl_xor_sync(kAllLanes, value, bits));
        return value;
    }
};

struct BlockTeam {
    static constexpr bool kBlock = true;
    int width, rank;
    bool active;
    int64_t size;

    template <typename T, typename Merge>
    __device__ T reduce(T value, T neutral, const Merge& merge) const {
        __shared__ double scratch[kWarp];
        return reduceBlock(value, reinterpret_cast<T*>(scratch), neutral, merge);
    }
};

template <typename Team, typename T>
__device__ inline T sumOverTeam(const Team& team, T value) {
    return team.reduce(value, T{}, Plus{});
}

// body(team, row) for each row that falls to this thread's team.
template <typename Team, typename Body>
__device__ inline void forEachRow(int64_t rows, int64_t size, int width, const Body& body) {
    if constexpr (Team::kBlock) {
        for (int64_t row = blockIdx.x; row < rows; row += gridDim.x)
            body(Team{static_cast<int>(blockDim.x), static_cast<int>(threadIdx.x), true, size}, row);
    } else {
        const int perWarp = kWarp / width, lane = static_cast<int>(threadIdx.x) % kWarp;
        const int64_t step = globalThreads() / kWarp * perWarp;
        for (int64_t first = globalThread() / kWarp * perWarp; first < rows; first += step) {
            const int64_t row = first + lane / width;
            const bool active = row < rows;
            body(Team{width, lane % width, active, active ? size : 0}, row);
        }
    }
}

// body(i) for the packs of `kPack` elements of a row that fall to this thread; kPack divides the size.
template <int kPack, typename Team, typename Body>
__device__ inline void forPacks(const Team& team, const Body& body) {
    const int64_t step = static_cast<int64_t>(team.width) * kPack;
    for (int64_t i = static_cast<int64_t>(team.rank) * kPack; i < team.size; i += step) body(i);
}

// --- packs in the type computed in, 16 bytes at a time

template <typename T>
constexpr int kWidest = sizeof(T) >= 8 ? 1 : 16 / static_cast<int>(sizeof(T));

template <int kPack, typename T>
__device__ inline void loadPack(const T* from, Compute<T> (&values)[kPack]) {
    constexpr int kChunk = std::min(kPack, kWidest<T>);
#pragma unroll
    for (int j = 0; j < kPack; j += kChunk) {
        const auto pack = *reinterpret_cast<const Pack<T, kChunk>*>(from + j);
#pragma unroll
        for (int k = 0; k < kChunk; k++) values[j + k] = toCompute(pack.values[k]);
    }
}

// `fallback` for each element where the operand is missing.
template <int kPack, typename T>
__device__ inline void loadPackOr(const T* base, int64_t i, Compute<T> fallback,
                                  Compute<T> (&values)[kPack]) {
    if (base) return loadPack<kPack>(base + i, values);
#pragma unroll
    for (int k = 0; k < kPack; k++) values[k] = fallback;
}

template <int kPack, typename T>
__device__ inline void storePack(T* to, const Compute<T> (&values)[kPack]) {
    constexpr int kChunk = std::min(kPack, kWidest<T>);
#pragma unroll
    for (int j = 0; j < kPack; j += kChunk) {
        Pack<T, kChunk> pack;
#pragma unroll
        for (int k = 0; k < kChunk; k++) pack.values[k] = fromCompute<T>(values[j + k]);
        *reinterpret_cast<Pack<T, kChunk>*>(to + j) = pack;
    }
}

inline bool isPacked(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// body(pack) with the number of elements to move at a time, a constant: 16 bytes where they fit into `size`
// and all operands (null: missing) begin where such packs may.
template <typename T, typename Body>
void withPacks(int64_t size, std::initializer_list<const void*> operands, const Body& body) {
    bool wide = size % kWidest<T> == 0;
    for (const void* operand : operands) wide = wide && isPacked(operand);
    if constexpr (kWidest < T >> 1) {
        if (wide) return body(std::integral_constant<int, kWidest<T>>{});
    }
    body(std::integral_constant<int, 1>{});
}

// --- host: which team, and how many

struct RowPlan {
    bool byBlock = false;
    int width = 1;  // of a team of lanes
    Grid grid;

    // `packs`: what a row takes of loads. `joined`: blocks' results are joined by another kernel, which one
    // block for all saves.
    RowPlan(int64_t rows, int64_t packs, bool joined = false) {
        constexpr int64_t kMostBlocks = 4096;
        byBlock = packs > 256 || (packs > kWarp && rows < 2048);
        if (byBlock) {
            const int64_t threads = std::clamp<int64_t>((packs / 2 + kWarp - 1) / kWarp * kWarp, 64, 512);
            grid = blocksFor(std::min(rows, kMostBlocks), static_cast<int>(threads));
            return;
        }
        while (width < packs && width < kWarp) width *= 2;
        const int64_t all = std::max<int64_t>((rows * width + kWarp - 1) / kWarp * kWarp, kWarp);
        if (joined && all <= 1024) {
            grid = {dim3(1), dim3(static_cast<unsigned>(std::min<int64_t>(all, 512))), 0};
        } else {
            // Few rows: small blocks reach more of the GPU.
            grid = gridFor(
                all, static_cast<int>(all < (int64_t{1} << 16) ? std::min<int64_t>(all, 128) : kThreads));
        }
    }
};

// body(team): the same kernel for either kind of team.
template <typename Body>
void withTeam(const RowPlan& plan, const Body& body) {
    if (plan.byBlock) return body(TypeTag<BlockTeam>{});
    body(TypeTag<LaneTeam>{});
}

}  // namespace anneal::cuda
