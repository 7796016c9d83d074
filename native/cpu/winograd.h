#pragma once

#include "cpu/kernels.h"

// Convolutions of 3 x 3 with stride 1 by Winograd's minimal filtering, after Lavin and Gray, "Fast Algorithms
// for Convolutional Neural Networks" (2016): F(2 x 2, 3 x 3) takes 16 multiplications for four outputs
// instead of 36, F(4 x 4, 3 x 3) 36 for sixteen instead of 144. Computed in float32 for float32 and bfloat16
// tensors, channels-last, on the engine thread and its team. The smaller tiles' error is that of the direct
// method, the larger tiles' about three times as much. Where results are rounded to bfloat16, F(7 x 7, 3 x 3)
// and F(8 x 8, 3 x 3) are as exact as any other method.
namespace anneal::cpu {

// What happens to a convolution's output before it is stored: a scale and a shift for each channel, then a
// residual sum (or null), then a ReLU.
struct ConvEpilogue {
    const float *scale, *shift;
    const void* residual;
    bool relu;
};

}  // namespace anneal::cpu

namespace anneal::cpu::winograd {

// Whether it computes this convolution, and faster than the direct method.
bool suits(const View& input, const View& weight, const View& out, const ConvGeometry& geometry);

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& geometry);
// relu?(scale * convolution + shift + residual?)
void forward(const View& out, const View& input, const View& weight, const ConvEpilogue& epilogue,
             const ConvGeometry& geometry);
void backwardInput(const View& gradInput, const View& gradOutput, const View& weight,
                   const ConvGeometry& geometry);
void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::winograd
