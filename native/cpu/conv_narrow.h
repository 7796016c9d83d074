#pragma once

#include "cpu/kernels.h"

// Convolutions with few channels and a stride of 1, as at the start of a small network: too few lanes for
// kernels that put channels side by side. Here the lanes are pixels. float32, on the engine thread and its
// team.
namespace anneal::cpu::narrow {

bool suits(ConvDirection direction, const Dims& input, const Dims& weight, DType dtype,
           const ConvGeometry& geometry);

// Inputs and gradients may be channels-last or contiguous, results are channels-last.
void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& geometry);
void backwardInput(const View& gradInput, const View& gradOutput, const View& weight,
                   const ConvGeometry& geometry);
void backwardWeight(const View& gradWeight, const View* gradBias, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::narrow
