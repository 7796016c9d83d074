#include "core/promotion.h"

namespace anneal {

namespace {

int category(DType dtype) {
    if (isFloating(dtype)) return 2;
    return dtype == DType::Bool ? 0 : 1;
}

DType defaultOf(Operand::Category category) {
    switch (category) {
        case Operand::Category::Floating:
            return DType::Float32;
        case Operand::Category::Integer:
            return DType::Int64;
        default:
            return DType::Bool;
    }
}

DType withNumber(DType dtype, Operand::Category number) {
    return category(dtype) >= static_cast<int>(number) ? dtype : defaultOf(number);
}

}  // namespace

DType resultType(const Operand& a, const Operand& b) {
    if (!a.tensor && !b.tensor) return promoteTypes(defaultOf(a.category), defaultOf(b.category));
    if (!b.tensor) return withNumber(a.tensor->dtype(), b.category);
    if (!a.tensor) return withNumber(b.tensor->dtype(), a.category);
    const DType dtypeA = a.tensor->dtype(), dtypeB = b.tensor->dtype();
    const bool scalarA = a.tensor->dims() == 0, scalarB = b.tensor->dims() == 0;
    if (scalarA == scalarB) return promoteTypes(dtypeA, dtypeB);
    const DType strong = scalarA ? dtypeB : dtypeA, weak = scalarA ? dtypeA : dtypeB;
    return category(weak) > category(strong) ? weak : strong;
}

}  // namespace anneal
