// Comparisons and logic on two operands: the result is bool.
#include "cpu/binary.h"

BINARY_COMPARISON(eq, x == y)
BINARY_COMPARISON(ne, x != y)
BINARY_COMPARISON(lt, x < y)
BINARY_COMPARISON(le, x <= y)
BINARY_COMPARISON(gt, x > y)
BINARY_COMPARISON(ge, x >= y)
BINARY_COMPARISON(logical_and, x != T{} && y != T{})
BINARY_COMPARISON(logical_or, x != T{} || y != T{})
BINARY_COMPARISON(logical_xor, (x != T{}) != (y != T{}))
