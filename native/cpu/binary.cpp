// Arithmetic on two operands. To add one: a line here, a line in core/ops.def.
#include "cpu/binary.h"

#include "core/division.h"

namespace anneal {

namespace {

template <typename T>
T powerOf(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        return y == 2 ? x * x : std::pow(x, y);
    } else {
        if (y < T{}) {  // as 1 / x^|y| rounds towards zero
            if (x == T{1}) return T{1};
            return std::is_signed_v<T> && x == static_cast<T>(-1) ? static_cast<T>(y % 2 == 0 ? 1 : -1)
                                                                  : static_cast<T>(0);
        }
        T result{1};
        auto exponent = static_cast<uint64_t>(y);
        for (T base = x; exponent > 0; exponent >>= 1, base = static_cast<T>(base * base)) {
            if (exponent & 1) result = static_cast<T>(result * base);
        }
        return result;
    }
}

template <typename T>
T maximumOf(T x, T y) {
    return x != x || x > y ? x : y;  // a NaN on either side wins
}

template <typename T>
T minimumOf(T x, T y) {
    return x != x || x < y ? x : y;
}

// Integers have no infinity to answer with: a zero divisor is an error.
struct DivisorCheck {
    static constexpr bool kFloatingOnly = false;
    static constexpr bool kComparison = false;
    static constexpr bool kChecksDivisor = true;
    static constexpr bool kRefusesBool = false;
    template <typename T>
    static void check(const cpu::BinaryArguments& args) {
        bool zero = args.numberSide == 2 && elementOf<T>(args.number) == T{};
        if (args.numberSide != 2) {
            const cpu::LoopPlan<1> plan({args.b});
            plan.range(0, plan.numel, [&](char* const* p, const int64_t* s, int64_t count) {
                for (int64_t i = 0; i < count; i++)
                    zero |= *reinterpret_cast<const T*>(p[0] + i * s[0]) == T{};
            });
        }
        CHECK(!zero, ErrorKind::General, "integer division by zero");
    }
};

struct Binary_remainder : DivisorCheck {
    template <typename T>
    static auto apply(T x, T y) {
        return remainderOf(x, y);
    }
};

struct Binary_floor_divide : DivisorCheck {
    template <typename T>
    static auto apply(T x, T y) {
        return floorDivideOf(x, y);
    }
};

template <typename T>
T sigmoidOf(T x) {
    return 1 / (1 + std::exp(-x));
}

template <typename T>
T geluSlope(T x) {
    const T density = std::exp(-x * x / 2) * static_cast<T>(M_2_SQRTPI * M_SQRT1_2 / 2);
    return static_cast<T>(0.5) * (1 + std::erf(x * static_cast<T>(M_SQRT1_2))) + x * density;
}

}  // namespace

namespace ops {

Tensor remainder(Context& context, const Operand& a, const Operand& b) {
    return cpu::applyBinary<Binary_remainder>(context, "remainder", cpu::BinaryKind::Arithmetic, a, b);
}

Tensor floor_divide(Context& context, const Operand& a, const Operand& b) {
    return cpu::applyBinary<Binary_floor_divide>(context, "floor_divide", cpu::BinaryKind::Arithmetic, a, b);
}

}  // namespace ops

}  // namespace anneal

BINARY_ARITHMETIC(add, x + y)
DEFINE_BINARY(sub, Arithmetic, false, false, true, x - y)
BINARY_ARITHMETIC(mul, x* y)
BINARY_FLOATING(div, x / y)
BINARY_ARITHMETIC(pow, powerOf(x, y))
BINARY_ARITHMETIC(maximum, maximumOf(x, y))
BINARY_ARITHMETIC(minimum, minimumOf(x, y))
BINARY_FLOATING(atan2, std::atan2(x, y))

BINARY_IN_PLACE(add, Arithmetic)
BINARY_IN_PLACE(sub, Arithmetic)
BINARY_IN_PLACE(mul, Arithmetic)
BINARY_IN_PLACE(div, Division)
BINARY_IN_PLACE(pow, Arithmetic)

// Gradients: x is the gradient of the output, y what the forward pass kept (output or input, by op).
BINARY_FLOATING(relu_backward, y <= 0 ? T{0} : x)  // NaN lets gradients through, as in PyTorch
BINARY_FLOATING(sigmoid_backward, x* y * (1 - y))
BINARY_FLOATING(tanh_backward, x * (1 - y * y))
BINARY_FLOATING(silu_backward, x* sigmoidOf(y) * (1 + y * (1 - sigmoidOf(y))))
BINARY_FLOATING(gelu_backward, x* geluSlope(y))
BINARY_FLOATING(softplus_backward, y > 20 ? x : x * sigmoidOf(y))
