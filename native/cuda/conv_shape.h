#pragma once

#include <cstdint>
#include <cstring>

#include "cuda/types.h"

namespace anneal::cuda {

// So many the library counts in one tensor, 32 bits wide.
#ifdef ANNEAL_CUDA_EMULATED
constexpr int64_t kMostElements = int64_t{1} << 16;  // so that tests go beyond
#else
constexpr int64_t kMostElements = (int64_t{1} << 31) - 1;
#endif

inline int64_t elements(const int64_t (&sizes)[4]) { return sizes[0] * sizes[1] * sizes[2] * sizes[3]; }

// A convolution whose padding is the same on both sides. Pictures lie channels-last, weights as [out, height,
// width, in / groups].
struct ConvShape {
    int64_t input[4], weight[4], output[4];  // [N, C, H, W], [out, in / groups, height, width]
    int64_t stride[2], padding[2], dilation[2], groups;

    // Whole numbers without gaps between them.
    bool operator==(const ConvShape& other) const { return std::memcmp(this, &other, sizeof other) == 0; }

    __device__ int64_t inputAt(int64_t n, int64_t c, int64_t y, int64_t x) const {
        return ((n * input[2] + y) * input[3] + x) * input[1] + c;
    }
    __device__ int64_t outputAt(int64_t n, int64_t c, int64_t y, int64_t x) const {
        return ((n * output[2] + y) * output[3] + x) * output[1] + c;
    }
    __device__ int64_t weightAt(int64_t k, int64_t c, int64_t y, int64_t x) const {
        return ((k * weight[2] + y) * weight[3] + x) * weight[1] + c;
    }
};

}  // namespace anneal::cuda
