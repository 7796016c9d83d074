#pragma once

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// What the loss kernels share.
namespace anneal::cpu {

// Terms per chunk of a sum over rows of `width` values. Chunk borders do not depend on the number of threads,
// and the partial sums are added in order: the same input gives the same bits.
inline int64_t lossGrain(int64_t width) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(width, 1)); }
inline int64_t lossChunks(int64_t count, int64_t grain) { return (count + grain - 1) / grain; }

// Adds up, in double, what sumRange(begin, end) gives for the chunks of [0, count).
template <typename SumRange>
double sumChunks(int64_t count, int64_t grain, double* partial, const SumRange& sumRange) {
    const int64_t chunks = lossChunks(count, grain);
    parallelFor(chunks, 1, [&](int64_t first, int64_t last) {
        for (int64_t chunk = first; chunk < last; chunk++) {
            partial[chunk] = sumRange(chunk * grain, std::min(count, (chunk + 1) * grain));
        }
    });
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; chunk++) sum += partial[chunk];
    return sum;
}

template <typename T>
T* optionalData(const View* view) {
    return view ? view->as<T>() : nullptr;
}

}  // namespace anneal::cpu
