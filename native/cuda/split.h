#pragma once

#include "cuda/walk.h"

namespace anneal::cuda {

// Quotient and remainder by a number that the launch decides, of numbers below `limit`: by multiplication
// where they fit.
struct Split {
    int64_t divisor = 1;
    Divider divider;
    bool narrow = true;

    Split() = default;
    Split(int64_t by, int64_t limit)
        : divisor(std::max<int64_t>(by, 1)), narrow(std::max(by, limit) < (int64_t{1} << 31)) {
        if (narrow) divider = Divider(static_cast<uint32_t>(divisor));
    }
    __device__ int64_t quotient(int64_t n) const {
        return narrow ? divider.quotient(static_cast<uint32_t>(n)) : n / divisor;
    }
    __device__ int64_t remainder(int64_t n) const { return n - quotient(n) * divisor; }
    // n becomes the quotient; returns the remainder.
    __device__ int64_t take(int64_t& n) const {
        const int64_t whole = quotient(n), rest = n - whole * divisor;
        n = whole;
        return rest;
    }
};

}  // namespace anneal::cuda
