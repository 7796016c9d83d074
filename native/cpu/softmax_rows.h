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

// log(sum(exp(x))) without overflow. A row of nothing but -inf gives NaN, as in PyTorch's softmax.
template <typename T>
ANNEAL_INLINE Compute<T> logSumExpOfRow(const T* row, int64_t size) {
    const Compute<T> largest = maxOfRow(row, size);
    const Compute<T> sum = sumOfExponentials(row, size, largest, [](int64_t, auto, auto) {});
    return largest + std::log(sum);
}

}  // namespace anneal::cpu
