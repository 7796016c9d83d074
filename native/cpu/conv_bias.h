#pragma once

#include "core/tensor.h"

namespace anneal::cpu {

// The gradient of a convolution's bias: the sum of the output's over all pixels, channels-last, in float32.
void sumPixels(const View& gradBias, const View& gradOutput);

}  // namespace anneal::cpu
