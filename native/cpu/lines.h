#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "core/tensor.h"

// What reductions and scans share.
namespace anneal::cpu {

// float32 sums are carried in double: free where memory is the limit, and it makes results independent of
// chunking to the last bit that matters.
template <typename T>
using Accumulator = std::conditional_t<std::is_floating_point_v<Compute<T>>, double, int64_t>;

template <typename Out, typename A>
Out finalValue(A value) {
    if constexpr (std::is_same_v<Out, BFloat16> || std::is_same_v<Out, Float16>) {
        return Out(static_cast<float>(value));
    } else {
        return static_cast<Out>(value);
    }
}

// Base offsets of the lines that run along `dim`, in row-major order of the other dimensions.
struct Lines {
    int64_t count = 1, length, step;
    std::vector<int64_t> sizes, strides;

    Lines(const View& view, int dim) : length(view.sizes[dim]), step(view.strides[dim]) {
        for (int i = view.dims() - 1; i >= 0; i--) {
            if (i == dim) continue;
            sizes.push_back(view.sizes[i]);
            strides.push_back(view.strides[i]);
            count *= view.sizes[i];
        }
    }
    int64_t base(int64_t index) const {
        int64_t offset = 0;
        for (size_t k = 0; k < sizes.size(); k++) {
            offset += index % sizes[k] * strides[k];
            index /= sizes[k];
        }
        return offset;
    }
};

}  // namespace anneal::cpu
