#pragma once

#include <vector>

#include "core/tensor.h"

namespace anneal::cpu {

// The values of a tensor of indices in logical order. They are data: only here can they be checked, before
// any memory is touched. `fromEnd`: negative ones count from the end.
std::vector<int64_t> checkedIndices(const View& indices, int64_t size, int dim, bool fromEnd);

// Calls body(index, position) for every position of `sizes` in row-major order.
template <typename Body>
void forEachIndex(const Dims& sizes, const Body& body) {
    const int64_t count = numelOf(sizes);
    int64_t index[kMaxDims] = {};
    for (int64_t k = 0; k < count; k++) {
        body(index, k);
        for (int d = sizes.size() - 1; d >= 0; d--) {
            if (++index[d] < sizes[d]) break;
            index[d] = 0;
        }
    }
}

inline int64_t offsetOf(const View& view, const int64_t* index) {
    int64_t offset = 0;
    for (int d = 0; d < view.dims(); d++) offset += index[d] * view.strides[d];
    return offset;
}

}  // namespace anneal::cpu
