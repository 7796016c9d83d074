#pragma once

#include "cuda/collective.h"
#include "cuda/submit.h"

// How losses are reduced: every block adds up its own terms in double, and one block then adds up the blocks'
// sums; the order depends on sizes alone.
namespace anneal::cuda {

// Where a reduced loss goes. The divisor of a mean is `count`, or the sum of the labels' weights where that
// is wanted.
template <typename T>
struct LossEnd {
    T* out;
    double* totalWeight;  // or null
    double count;
    cpu::LossReduction reduction;

    bool wanted() const { return totalWeight || reduction != cpu::LossReduction::None; }
    __device__ void write(double sum, double weights) const {
        if (totalWeight) *totalWeight = weights;
        if (reduction == cpu::LossReduction::None) return;
        if (reduction == cpu::LossReduction::Mean) sum /= totalWeight ? weights : count;
        *out = fromCompute<T>(static_cast<Compute<T>>(sum));
    }
};

// For all threads of a block, once: `partial` has two numbers for each block.
template <typename T>
__device__ inline void endOfBlock(double sum, double weight, double* partial, const LossEnd<T>& end) {
    __shared__ double scratch[kWarp];
    sum = sumOverBlock(sum, scratch);
    weight = sumOverBlock(weight, scratch);
    if (threadIdx.x != 0) return;
    if (gridDim.x == 1) {
        end.write(sum, weight);
    } else {
        partial[2 * blockIdx.x] = sum;
        partial[2 * blockIdx.x + 1] = weight;
    }
}

template <typename T>
__global__ void joinLoss(const double* partial, int count, LossEnd<T> end) {
    __shared__ double scratch[kWarp];
    double sum = 0, weight = 0;
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
        sum += partial[2 * i];
        weight += partial[2 * i + 1];
    }
    sum = sumOverBlock(sum, scratch);
    weight = sumOverBlock(weight, scratch);
    if (threadIdx.x == 0) end.write(sum, weight);
}

inline size_t lossBytes(const Grid& grid) { return grid.blocks.x * 2 * sizeof(double); }

// After the kernel that has called endOfBlock().
template <typename T>
void finishLoss(CudaRuntime& runtime, const Grid& grid, const double* partial, const LossEnd<T>& end) {
    if (grid.blocks.x == 1 || !end.wanted()) return;
    launchTogether(joinLoss<T>, Grid{dim3(1), dim3(kThreads), 0}, runtime.stream(), partial,
                   static_cast<int>(grid.blocks.x), end);
}

}  // namespace anneal::cuda
