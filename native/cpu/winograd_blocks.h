#pragma once

#include <algorithm>
#include <type_traits>

#include "cpu/gemm_tile.h"
#include "cpu/parallel.h"
#include "cpu/prepared.h"
#include "cpu/winograd_filters.h"
#include "cpu/winograd_planes.h"

// How the work is cut and shared: how many tiles at a time, so that what is between the steps stays in the
// caches; what transforms cost; what threads prepare together, or each for itself.
namespace anneal::cpu::winograd {

using gemm::kWidth;

// Bytes of transformed patches that one thread works on: about what its second-level cache holds.
constexpr int64_t kBlockBytes = 768 * 1024;
// Of those that all threads read, or each a copy of: a part of the third-level cache, which is shared with
// others.
constexpr int64_t kTileBytes = 3 * 1024 * 1024;
// Transformed filters of more bytes than this are many: they would have to come from memory again and again.
// Their gradients are written as well, to sums that each thread has of its own.
constexpr int64_t kManyFilterBytes = 8 * 1024 * 1024, kManySumBytes = kManyFilterBytes / 2;
// Transformed patches of fewer bytes than this are few: all threads read them, rather than sum apart.
constexpr int64_t kFewPatchBytes = 4 * 1024 * 1024;

// Products that are summed in one go: the larger tiles' transforms magnify what a long sum rounds off, which
// is lost again where results are rounded to bfloat16.
template <int M, typename T>
constexpr int64_t kPiece = std::is_same_v<T, BFloat16> ? 1024 : (M == 2 ? 64 : 32);

template <int M, int R = 3>
int64_t filterBytes(int64_t inputs, int64_t outputs) {
    return kPlanes<M, R> * inputs * outputs * static_cast<int64_t>(sizeof(float));
}

// Vector operations that take as long as transforming a vector of patches, there or back, or of filters:
// measured on Zen 4.
struct TransformCost {
    int64_t patch, filter;
};
template <int M>
constexpr TransformCost kCost{};
template <>
constexpr TransformCost kCost<2>{120, 150};
template <>
constexpr TransformCost kCost<4>{300, 230};
template <>
constexpr TransformCost kCost<7>{750, 500};
template <>
constexpr TransformCost kCost<8>{1000, 600};

// The same for the products of the transformed patches and filters.
template <int M, int R = 3>
int64_t productCost(int64_t tiles, int64_t inputs, int64_t outputs) {
    return kPlanes<M, R> * tiles * inputs * outputs / kWidth;
}

// Tiles that a thread takes through all steps at a time, in blocks of equal size and a whole number for each
// thread: as many as fit the second-level cache, but at least so many.
template <int M, int R = 3>
int64_t tilesPerBlock(int64_t tiles, int64_t sources, int64_t targets, int64_t least) {
    const int64_t threads = omp_get_max_threads();
    const int64_t tileBytes = kPlanes<M, R> * static_cast<int64_t>(sizeof(float)) * (sources + targets);
    const int64_t fitting = std::max<int64_t>(kBlockBytes / tileBytes, least);
    const int64_t rounds = (tiles + fitting * threads - 1) / (fitting * threads);
    return (tiles + rounds * threads - 1) / (rounds * threads);
}

// Tiles that are transformed before all threads work on them.
template <int M>
int64_t tilesTogether(int64_t tiles, int64_t channels) {
    const int64_t most = std::max<int64_t>(
        kTileBytes / (kPlanes<M> * channels * static_cast<int64_t>(sizeof(float))), 4 * gemm::kRows);
    const int64_t rounds = (tiles + most - 1) / most;
    return (tiles + rounds - 1) / rounds;
}

}  // namespace anneal::cpu::winograd
