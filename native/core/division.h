#pragma once

#include <cmath>
#include <type_traits>

// Division as in Python, for both devices. Whole numbers are not to be divided by zero.
namespace anneal {

// The sign follows the divisor.
template <typename T>
constexpr T remainderOf(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        const T rest = std::fmod(x, y);
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
    } else if constexpr (std::is_signed_v<T>) {
        if (y == T{-1}) return T{};
        const T rest = static_cast<T>(x % y);
        return rest != 0 && (rest < 0) != (y < 0) ? static_cast<T>(rest + y) : rest;
    } else {
        return static_cast<T>(x % y);
    }
}

// Of floating numbers from what fmod leaves over: x / y may have been rounded up to the next integer, and
// then would not agree with the remainder.
template <typename T>
constexpr T floorDivideOf(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        if (y == 0) return x / y;
        const T rest = std::fmod(x, y);
        T quotient = (x - rest) / y;
        if (rest != 0 && (rest < 0) != (y < 0)) quotient -= 1;
        if (quotient == 0) return std::copysign(T{0}, x / y);
        const T whole = std::floor(quotient);
        return quotient - whole > static_cast<T>(0.5) ? whole + 1 : whole;
    } else if constexpr (std::is_signed_v<T>) {
        if (y == T{-1}) return static_cast<T>(T{} - x);
        const T quotient = static_cast<T>(x / y);
        return x % y != 0 && (x < 0) != (y < 0) ? static_cast<T>(quotient - 1) : quotient;
    } else {
        return static_cast<T>(x / y);
    }
}

}  // namespace anneal
