#pragma once

#include <cmath>

#include "cpu/simd.h"

// Pieces of softmax over a row that lies densely in memory.
namespace anneal::cpu {

template <typename T>
ANNEAL_INLINE Compute<T> maxOfRow(const T* row, int64_t size) {
    using namespace simd;
    using C = Compute<T>;
    constexpr C lowest = -std::numeric_limits<C>::infinity();
    auto best = splat<C>(lowest);
    forLanes<C>(size, [&](int64_t i, auto lanes) {
        const auto value = fillRest<C>(load(row + i, lanes), lanes, lowest);
        best = value > best ? value : best;
    });
    return maxLanes<C>(best);
}

// Sum of exp(x - shift); calls keep(offset, exponentials, lanes) on the way.
template <typename T, typename Keep>
ANNEAL_INLINE Compute<T> sumOfExponentials(const T* row, int64_t size, Compute<T> shift, const Keep& keep) {
    using namespace simd;
    using C = Compute<T>;
    Vector<C> sum = {};
    forLanes<C>(size, [&](int64_t i, auto lanes) {
        const auto value = simd::exp(load(row + i, lanes) - shift);
        keep(i, value, lanes);
        sum += fillRest<C>(value, lanes, C(0));
    });
    return sumLanes<C>(sum);
}

// What log-softmax subtracts from every element of a row: the largest value first and then the logarithm of
// the rest, so that nothing is lost when all values are large.
template <typename C>
struct LogSum {
    C largest, rest;

    // log(softmax) of one value, or of a vector of them.
    template <typename V>
    ANNEAL_INLINE V operator()(V x) const {
        return x - largest - rest;
    }
};

// A row of nothing but -inf gives NaN, as in PyTorch.
template <typename T>
ANNEAL_INLINE LogSum<Compute<T>> logSumOfRow(const T* row, int64_t size) {
    const Compute<T> largest = maxOfRow(row, size);
    return {largest, std::log(sumOfExponentials(row, size, largest, [](int64_t, auto, auto) {}))};
}

}  // namespace anneal::cpu
