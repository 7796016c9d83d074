#pragma once

#include <cstdint>
#include <cstring>

namespace anneal {

// bfloat16: the upper half of a float32, rounded to nearest even as PyTorch and the hardware do.
struct BFloat16 {
    uint16_t bits = 0;
    BFloat16() = default;
    explicit BFloat16(float value) {
        uint32_t raw;
        std::memcpy(&raw, &value, sizeof raw);
        if ((raw & 0x7fffffffu) > 0x7f800000u) {
            bits = 0x7fc0;
        } else {
            bits = static_cast<uint16_t>((raw + 0x7fffu + ((raw >> 16) & 1u)) >> 16);
        }
    }
    template <typename T>
    explicit BFloat16(T value) : BFloat16(static_cast<float>(value)) {}
    operator float() const {
        const uint32_t raw = static_cast<uint32_t>(bits) << 16;
        float value;
        std::memcpy(&value, &raw, sizeof value);
        return value;
    }
};

// IEEE 754 binary16, converted in software so that the header needs no compiler extension.
struct Float16 {
    uint16_t bits = 0;
    Float16() = default;
    explicit Float16(float value) {
        uint32_t raw;
        std::memcpy(&raw, &value, sizeof raw);
        const uint16_t sign = static_cast<uint16_t>((raw >> 16) & 0x8000u);
        raw &= 0x7fffffffu;
        if (raw > 0x7f800000u) {
            bits = sign | 0x7e00u;
        } else if (raw >= 0x477ff000u) {  // rounds to 65536 or more
            bits = sign | 0x7c00u;
        } else if (raw < 0x38800000u) {  // subnormal: let the adder round
            float magnitude;
            std::memcpy(&magnitude, &raw, sizeof raw);
            magnitude += 0.5f;
            uint32_t shifted;
            std::memcpy(&shifted, &magnitude, sizeof shifted);
            bits = static_cast<uint16_t>(sign | (shifted - 0x3f000000u));
        } else {
            raw += 0xc8000fffu + ((raw >> 13) & 1u);
            bits = static_cast<uint16_t>(sign | (raw >> 13));
        }
    }
    template <typename T>
    explicit Float16(T value) : Float16(static_cast<float>(value)) {}
    operator float() const {
        const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
        const uint32_t exponent = (bits >> 10) & 0x1fu;
        const uint32_t mantissa = bits & 0x3ffu;
        uint32_t raw;
        if (exponent == 0x1f) {
            raw = sign | 0x7f800000u | (mantissa << 13);
        } else if (exponent != 0) {
            raw = sign | ((exponent + 112) << 23) | (mantissa << 13);
        } else {
            const float tiny = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // 2^-24
            std::memcpy(&raw, &tiny, sizeof raw);
            raw |= sign;
        }
        float value;
        std::memcpy(&value, &raw, sizeof value);
        return value;
    }
};

}  // namespace anneal
