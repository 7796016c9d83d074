#include "core/dtype.h"

#include <algorithm>

namespace anneal {

const char* dtypeName(DType dtype) {
    static const char* const names[] = {"float32", "float64", "bfloat16", "float16",
                                        "int64",   "int32",   "uint8",    "bool"};
    return names[static_cast<int>(dtype)];
}

size_t dtypeSize(DType dtype) {
    static const size_t sizes[] = {4, 8, 2, 2, 8, 4, 1, 1};
    return sizes[static_cast<int>(dtype)];
}

DType promoteTypes(DType a, DType b) {
    if (a == b) return a;
    const bool floatingA = isFloating(a), floatingB = isFloating(b);
    if (floatingA && floatingB) {
        if (a == DType::Float64 || b == DType::Float64) return DType::Float64;
        return DType::Float32;  // float32 with either half, or bfloat16 with float16
    }
    if (floatingA) return a;
    if (floatingB) return b;
    return std::min(a, b);  // the enum lists int64, int32, uint8, bool from wide to narrow
}

}  // namespace anneal
