// Elementwise ops that take parameters, composed of the table's plain ones where that costs nothing.
#include "core/ops.h"
#include "core/promotion.h"
#include "cpu/kernels.h"

namespace anneal::ops {

Tensor clamp(Context& context, const Tensor& input, optional<double> lower, optional<double> upper) {
    CHECK(lower || upper, ErrorKind::General, "clamp: give a minimum, a maximum, or both");
    const auto number = [](double value) {
        Operand operand;
        operand.number = value;
        operand.category = value == static_cast<double>(static_cast<int64_t>(value))
                               ? Operand::Category::Integer
                               : Operand::Category::Floating;
        return operand;
    };
    Operand result;
    result.tensor = input;
    if (lower) result.tensor = maximum(context, result, number(*lower));
    if (upper) result.tensor = minimum(context, result, number(*upper));
    return *result.tensor;
}

}  // namespace anneal::ops
