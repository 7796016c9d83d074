#pragma once

#include <cstdint>

// Small products of matrices in float32, on one thread: those of the linear layers of small networks, for
// which a library takes longer to start than to multiply (oneDNN some 30 ms for the first of all).
namespace anneal::cpu::gemm {

// A matrix in memory. Either step, in elements, may be 1; one of b's is.
struct Operand {
    const float* data;
    int64_t rowStep, columnStep;
};

// Where the product goes, in rows; what is there is added to it, or lost.
struct Result {
    float* data;
    int64_t rowStep;
    bool accumulate;
};

// c (+)= a b, of `rows` x `depth` and `depth` x `columns`, none of them 0.
void multiply(int64_t rows, int64_t columns, int64_t depth, const Operand& a, const Operand& b,
              const Result& c);

}  // namespace anneal::cpu::gemm
