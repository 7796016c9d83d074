#pragma once

#include "cpu/kernels.h"

// Convolutions of 3 x 3 with stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3), after Lavin and Gray,
// "Fast Algorithms for Convolutional Neural Networks" (2016): 16 multiplications for four outputs instead
// of 36. float32, channels-last, on the engine thread and its team.
namespace anneal::cpu::winograd {

// Whether it computes this convolution, and faster than the direct method.
bool suits(const View& input, const View& weight, const View& out, const ConvGeometry& geometry);

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& geometry);
void backwardInput(const View& gradInput, const View& gradOutput, const View& weight,
                   const ConvGeometry& geometry);
void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::winograd
