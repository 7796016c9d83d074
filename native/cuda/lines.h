#pragma once

#include "core/kernels.h"
#include "cuda/launch.h"

namespace anneal::cuda {

// Base offsets of the lines along a dimension, in row-major order of the others.
struct Lines {
    int64_t count = 1, length = 0, step = 0;
    int dims = 0;
    int64_t sizes[kMaxDims], strides[kMaxDims];

    Lines(const View& view, int dim) : length(view.sizes[dim]), step(view.strides[dim]) {
        for (int i = view.dims() - 1; i >= 0; i--) {
            if (i == dim) continue;
            sizes[dims] = view.sizes[i];
            strides[dims++] = view.strides[i];
            count *= view.sizes[i];
        }
    }
    __device__ int64_t base(int64_t index) const {
        int64_t offset = 0;
        for (int k = 0; k < dims; k++) {
            offset += index % sizes[k] * strides[k];
            index /= sizes[k];
        }
        return offset;
    }
};

// A warp for each.
inline Grid warpsFor(int64_t lines) { return gridFor(lines * kWarp); }

}  // namespace anneal::cuda
