#pragma once

#include "cpu/winograd.h"

// The first convolution of a network for pictures, 7 x 7 with stride 2 on up to four channels: every second
// row and column in channels of their own make a kernel of 4 x 4 with stride 1 of it, and that takes F(7 x 7,
// 4 x 4), 100 multiplications for 49 outputs and a channel instead of 784. bfloat16, computed in float32, on
// the engine thread and its team.
namespace anneal::cpu::stem {

bool suits(ConvDirection direction, const Dims& input, const Dims& weight, DType dtype,
           const ConvGeometry& geometry);

// The input may be channels-last or contiguous, the rest is channels-last.
void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& geometry);
// relu?(scale * convolution + shift + residual?)
void forward(const View& out, const View& input, const View& weight, const ConvEpilogue& epilogue,
             const ConvGeometry& geometry);
void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& geometry);

}  // namespace anneal::cpu::stem
