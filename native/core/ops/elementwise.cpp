// Elementwise ops that take parameters, composed of the table's plain ones where that costs nothing.
#include "core/numbers.h"
#include "core/ops.h"
#include "core/promotion.h"
#include "cpu/kernels.h"

namespace anneal::ops {

Tensor clamp(Context& context, const Tensor& input, optional<double> lower, optional<double> upper) {
    CHECK(lower || upper, ErrorKind::General, "clamp: give a minimum, a maximum, or both");
    // Both limits have their say about the dtype before either is compared in it.
    Operand result;
    result.tensor = input;
    const Operand low = operandOf(lower ? *lower : *upper), high = operandOf(upper ? *upper : *lower);
    const DType dtype = resultType(result, low.category > high.category ? low : high);
    for (const Operand& limit : {low, high}) requireHolds("clamp", limit.number, dtype);
    result.tensor = to_dtype(context, input, dtype);
    if (lower) result.tensor = maximum(context, result, low);
    if (upper) result.tensor = minimum(context, result, high);
    return *result.tensor;
}

}  // namespace anneal::ops
