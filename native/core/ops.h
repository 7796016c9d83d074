#pragma once

#include <optional>
#include <vector>

#include "core/context.h"
#include "core/op_table.h"

// Declares every op of the table as a C++ function, so that ops can call each other.
namespace anneal::ops {

using std::optional;

template <typename Signature>
struct FunctionType {
    using type = Signature;
};

#define OP(name, ...) FunctionType<__VA_ARGS__>::type name;
#define UNARY(name) Tensor name(Context& context, const Tensor& input);
#define BINARY(name) Tensor name(Context& context, const Operand& a, const Operand& b);
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY

}  // namespace anneal::ops
