#pragma once

#include "cpu/kernels.h"

// Gradients of convolutions' weights in bfloat16 by the processor's dot products of pairs: for each tap of
// the kernel a matrix product over all pixels, on operands in which two pixels stand side by side. oneDNN 2.6
// takes nearly twice as long with a stride. Channels-last, on the engine thread and its team.
namespace anneal::cpu::pairs {

// Whether it computes this gradient: of more taps than one, which oneDNN does as fast, and in no build for
// processors without these instructions.
bool suits(const Dims& weight, DType dtype, const ConvGeometry& geometry);

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::pairs
