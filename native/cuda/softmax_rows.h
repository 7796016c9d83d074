#pragma once

#include "cuda/row_teams.h"

// Pieces of softmax over a row that lies densely in memory.
namespace anneal::cuda {

template <int kPack, typename Team, typename T>
__device__ inline Compute<T> maxOfRow(const Team& team, const T* row) {
    using C = Compute<T>;
    constexpr C kLowest = -std::numeric_limits<C>::infinity();
    C best = kLowest;
    forPacks<kPack>(team, [&](int64_t i) {
        C values[kPack];
        loadPack(row + i, values);
#pragma unroll
        for (int k = 0; k < kPack; k++) best = Larger{}(values[k], best);
    });
    return team.reduce(best, kLowest, Larger{});
}

template <int kPack, typename Team, typename T>
__device__ inline Compute<T> sumOfExponentials(const Team& team, const T* row, Compute<T> shift) {
    using C = Compute<T>;
    C sum = 0;
    forPacks<kPack>(team, [&](int64_t i) {
        C values[kPack];
        loadPack(row + i, values);
#pragma unroll
        for (int k = 0; k < kPack; k++) sum += std::exp(values[k] - shift);
    });
    return sumOverTeam(team, sum);
}

// What log-softmax subtracts from every element of a row: the largest value first and then the logarithm of
// the rest, so that nothing is lost when all values are large.
template <typename C>
struct LogSum {
    C largest, rest;
    __device__ C operator()(C x) const { return x - largest - rest; }
};

// A row of nothing but -inf gives NaN, as in PyTorch.
template <int kPack, typename Team, typename T>
__device__ inline LogSum<Compute<T>> logSumOfRow(const Team& team, const T* row) {
    const Compute<T> largest = maxOfRow<kPack>(team, row);
    return {largest, std::log(sumOfExponentials<kPack>(team, row, largest))};
}

}  // namespace anneal::cuda
