#pragma once

#include "core/op_table.h"

namespace anneal {

// PyTorch's result type of two operands: tensors with dimensions outrank zero-dimensional ones, which outrank
// plain numbers; the lower rank only matters when it brings a higher category (bool < integer < floating).
DType resultType(const Operand& a, const Operand& b);

// For ops that leave the integers, such as division and exp.
inline DType floatingType(DType dtype) { return isFloating(dtype) ? dtype : DType::Float32; }

}  // namespace anneal
