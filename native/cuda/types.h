#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/convert.h"
#include "core/dtype.h"

// Reading, writing and converting elements inside kernels: half precision is widened when loaded and rounded
// to nearest even when stored, as on the processor.
namespace anneal::cuda {

__device__ inline float widen(BFloat16 value) {
#ifdef __CUDA_ARCH__
    return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
#else
    return static_cast<float>(value);
#endif
}

__device__ inline float widen(Float16 value) {
#ifdef __CUDA_ARCH__
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
#else
    return static_cast<float>(value);
#endif
}

template <typename T>
__device__ inline T narrowTo(float value) {
#ifdef __CUDA_ARCH__
    T result;
    if constexpr (std::is_same_v<T, BFloat16>) {
        asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    } else {
        asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    }
    return result;
#else
    return T(value);
#endif
}

template <typename T>
constexpr bool kIsHalf = std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>;

// An element in the type computed in.
template <typename T>
__device__ inline Compute<T> toCompute(T value) {
    if constexpr (kIsHalf<T>) {
        return widen(value);
    } else {
        return value;
    }
}

template <typename T>
__device__ inline T fromCompute(Compute<T> value) {
    if constexpr (kIsHalf<T>) {
        return narrowTo<T>(value);
    } else {
        return value;
    }
}

// As the processor's `convert`, also of what is out of an integer's range.
template <typename To, typename From>
__device__ inline To convertTo(From given) {
    const auto value = toCompute(given);
    using V = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<To, From>) {
        return given;
    } else if constexpr (std::is_same_v<To, bool>) {
        return value != V{};
    } else if constexpr (kIsHalf<To>) {
        return narrowTo<To>(static_cast<float>(value));
    } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<V>) {
        return integerOf<To>(value);
    } else {
        return static_cast<To>(value);
    }
}

// In what sums are carried: as on the processor, double and int64.
template <typename T>
using Accumulator = std::conditional_t<std::is_floating_point_v<Compute<T>>, double, int64_t>;

// `count` elements that lie together and are aligned to their joint size.
template <typename T, int count>
struct alignas(sizeof(T) * count) Pack {
    T values[count];
};

}  // namespace anneal::cuda
