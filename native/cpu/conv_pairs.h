#pragma once

#include "cpu/kernels.h"

// Convolutions in bfloat16 by the processor's dot products of pairs, channels-last, on the engine thread and
// its team. With few pixels and many weights, or with a stride, oneDNN 2.6 takes nearly twice as long.
namespace anneal::cpu::pairs {

// Whether it can, in no build for processors without these instructions.
bool computes(const Dims& weight, DType dtype, const ConvGeometry& geometry);
// Whether it should, rather than oneDNN.
bool suits(ConvDirection direction, const View& weight, const View& out, const ConvGeometry& geometry);

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& geometry);
void backwardInput(const View& gradInput, const View& gradOutput, const View& weight,
                   const ConvGeometry& geometry);
void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::pairs
