#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "core/shape.h"

// Values that a kernel cannot work with (an index out of range, a label that is no class) are data: only the
// kernel sees them. It notes the first one here and goes on without touching what is not its own; the next
// read or wait throws the error that the processor's kernel would have thrown, with the op's name.
namespace anneal::cuda {

enum class FaultKind : int {
    None,
    Index,        // value, dimension, size
    Label,        // label, classes, ignored, dimensions, position …
    OneHotLabel,  // label, position, classes
    ZeroDivisor,
    Picture,      // its number
    Probability,  // position; `real` is the value
};

struct FaultRecord {
    int claimed;
    FaultKind kind;
    const char* op;
    double real;
    long long numbers[12];
};

struct Faults {
    FaultRecord* record;
    const char* op;

#if defined(__CUDACC__) || defined(ANNEAL_CUDA_EMULATED)
    // The record, if nobody else has one already.
    __device__ FaultRecord* claim(FaultKind kind) const {
        if (atomicCAS(&record->claimed, 0, 1) != 0) return nullptr;
        record->kind = kind;
        record->op = op;
        return record;
    }
    __device__ void index(int64_t value, int dim, int64_t size) const {
        if (FaultRecord* mine = claim(FaultKind::Index)) {
            mine->numbers[0] = value;
            mine->numbers[1] = dim;
            mine->numbers[2] = size;
        }
    }
    __device__ void simple(FaultKind kind, int64_t a, int64_t b, int64_t c, double real = 0) const {
        if (FaultRecord* mine = claim(kind)) {
            mine->numbers[0] = a;
            mine->numbers[1] = b;
            mine->numbers[2] = c;
            mine->real = real;
        }
    }
#endif
};

// Throws what a record tells, if it tells anything.
void throwFault(const FaultRecord& record);

}  // namespace anneal::cuda
