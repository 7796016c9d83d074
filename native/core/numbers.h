#pragma once

#include "core/op_table.h"

namespace anneal {

// A plain number beside a tensor: an integer where it has no fraction and doubles still tell it from its
// neighbours. Infinity and NaN are floating, as in PyTorch.
Operand operandOf(double number);

// Throws a DTypeError where a tensor of this dtype cannot hold the number; a fraction may be dropped. As in
// PyTorch uint8 takes integers down to -255, which wrap around.
void requireHolds(const char* op, double number, DType dtype);

}  // namespace anneal
