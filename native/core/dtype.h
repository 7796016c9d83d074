#pragma once

#include <cstddef>
#include <cstdint>

#include "core/error.h"
#include "core/half.h"

namespace anneal {

// The order is part of the binding's contract: src/engine/dtype.ts lists the same names in the same order.
enum class DType : uint8_t { Float32, Float64, BFloat16, Float16, Int64, Int32, UInt8, Bool };

constexpr int kDTypeCount = 8;

const char* dtypeName(DType dtype);
size_t dtypeSize(DType dtype);

inline bool isFloating(DType dtype) { return dtype <= DType::Float16; }
inline bool isIntegral(DType dtype) { return dtype >= DType::Int64 && dtype <= DType::UInt8; }

// torch.promote_types: the dtype that holds both without losing the category.
DType promoteTypes(DType a, DType b);

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
    static constexpr DType value = DType::Float32;
};
template <>
struct DTypeOf<double> {
    static constexpr DType value = DType::Float64;
};
template <>
struct DTypeOf<BFloat16> {
    static constexpr DType value = DType::BFloat16;
};
template <>
struct DTypeOf<Float16> {
    static constexpr DType value = DType::Float16;
};
template <>
struct DTypeOf<int64_t> {
    static constexpr DType value = DType::Int64;
};
template <>
struct DTypeOf<int32_t> {
    static constexpr DType value = DType::Int32;
};
template <>
struct DTypeOf<uint8_t> {
    static constexpr DType value = DType::UInt8;
};
template <>
struct DTypeOf<bool> {
    static constexpr DType value = DType::Bool;
};

template <typename T>
struct TypeTag {
    using type = T;
};

// Calls `body(TypeTag<T>{})` with the C++ type behind `dtype`: `using T = typename decltype(tag)::type`.
template <typename Body>
decltype(auto) dispatchAll(DType dtype, Body&& body) {
    switch (dtype) {
        case DType::Float32:
            return body(TypeTag<float>{});
        case DType::Float64:
            return body(TypeTag<double>{});
        case DType::BFloat16:
            return body(TypeTag<BFloat16>{});
        case DType::Float16:
            return body(TypeTag<Float16>{});
        case DType::Int64:
            return body(TypeTag<int64_t>{});
        case DType::Int32:
            return body(TypeTag<int32_t>{});
        case DType::UInt8:
            return body(TypeTag<uint8_t>{});
        default:
            return body(TypeTag<bool>{});
    }
}

// As dispatchAll for kernels that exist for floating types only: others are a DTypeError.
template <typename Body>
decltype(auto) dispatchFloating(DType dtype, Body&& body) {
    switch (dtype) {
        case DType::Float64:
            return body(TypeTag<double>{});
        case DType::BFloat16:
            return body(TypeTag<BFloat16>{});
        case DType::Float16:
            return body(TypeTag<Float16>{});
        case DType::Float32:
            return body(TypeTag<float>{});
        default:
            fail(ErrorKind::DType, "expected a floating dtype, got ", dtypeName(dtype));
    }
}

// The type in which a kernel computes: half precision is widened, everything else stays.
template <typename T>
struct ComputeType {
    using type = T;
};
template <>
struct ComputeType<BFloat16> {
    using type = float;
};
template <>
struct ComputeType<Float16> {
    using type = float;
};
template <typename T>
using Compute = typename ComputeType<T>::type;

}  // namespace anneal
