#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

// Conversions to integers that C++ leaves undefined where the value is out of range, for both devices.
namespace anneal {

// Without the fraction; the least integer for what it cannot hold and for NaN, as x86 and so PyTorch there.
template <typename Integer, typename Real>
constexpr Integer truncated(Real value) {
    constexpr Real least = static_cast<Real>(std::numeric_limits<Integer>::min());
    return static_cast<Integer>(value >= least && value < -least ? value : least);
}

// An element as one of an integer type; uint8 takes the low bits of an int32.
template <typename To, typename Real>
constexpr To integerOf(Real value) {
    using Wide = std::conditional_t<sizeof(To) == sizeof(int64_t), int64_t, int32_t>;
    return static_cast<To>(truncated<Wide>(value));
}

// A plain number as an element. One that an integer type cannot hold wraps, as in PyTorch's arithmetic; ops
// that refuse it have done so by then.
template <typename T>
constexpr T elementOf(double number) {
    if constexpr (std::is_same_v<T, bool>) {
        return number != 0;
    } else if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(truncated<int64_t>(number));
    } else if constexpr (std::is_floating_point_v<T>) {
        return static_cast<T>(number);
    } else {
        return T(static_cast<float>(number));
    }
}

}  // namespace anneal
