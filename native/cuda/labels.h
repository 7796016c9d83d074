#pragma once

#include "cuda/loss.h"

// What losses with class labels share.
namespace anneal::cuda {

// A label that is no class is noted, and its row counts for nothing.
struct LabelRules {
    int64_t classes, ignored;
    int dims = 0;
    int64_t sizes[kMaxDims] = {};
    Faults faults;

    LabelRules(int64_t classes, int64_t ignored, const Dims& labels, const Faults& faults)
        : classes(classes), ignored(ignored), dims(labels.size()), faults(faults) {
        for (int i = 0; i < dims; i++) sizes[i] = labels[i];
    }
    // Whether the label of a row counts.
    __device__ bool counts(int64_t label, int64_t row) const {
        if (label == ignored) return false;
        if (label >= 0 && label < classes) return true;
        if (FaultRecord* mine = faults.claim(FaultKind::Label)) {
            mine->numbers[0] = label;
            mine->numbers[1] = classes;
            mine->numbers[2] = ignored;
            mine->numbers[3] = dims;
            for (int i = dims - 1; i >= 0; i--) {
                mine->numbers[4 + i] = row % sizes[i];
                row /= sizes[i];
            }
        }
        return false;
    }
};

__device__ inline bool isClass(int64_t label, int64_t classes, int64_t ignored) {
    return label != ignored && label >= 0 && label < classes;
}

// The factor of a row's gradient.
template <typename T>
__device__ inline Compute<T> upstreamOf(const T* gradient, int64_t row, cpu::LossReduction reduction,
                                        Compute<T> divisor) {
    const Compute<T> scale = toCompute(gradient[reduction == cpu::LossReduction::None ? row : 0]);
    return reduction == cpu::LossReduction::Mean ? scale / divisor : scale;
}

}  // namespace anneal::cuda
