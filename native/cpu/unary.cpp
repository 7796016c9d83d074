// Elementwise functions of one tensor. To add one: a line here, a line in core/ops.def.
#include <cmath>

#include "core/kernels.h"
#include "core/promotion.h"
#include "cpu/loops.h"

// Declared here one by one: including core/ops.h would recompile these slow files with every new line of the
// table.
namespace anneal::ops {
Tensor to_dtype(Context& context, const Tensor& input, DType dtype);
}  // namespace anneal::ops

namespace anneal {

namespace {

enum class UnaryKind {
    Floating,  // integers become float32
    Same,      // keeps the dtype
    Test,      // gives bool
};

template <typename F>
Tensor applyUnary(Context& context, const char* op, const Tensor& input) {
    if (F::kKind == UnaryKind::Floating && !isFloating(input.dtype())) {
        return applyUnary<F>(context, op, ops::to_dtype(context, input, DType::Float32));
    }
    CHECK_DTYPE(!F::kRefusesBool || input.dtype() != DType::Bool, op,
                ": bool tensors have none; convert them first");
    const DType outType = F::kKind == UnaryKind::Test ? DType::Bool : input.dtype();
    Tensor out = context.emptyLike(input, outType);
    if (!context.device().isCpu()) {
        context.kernels().unary(context, op, out, input);
        return out;
    }
    context.enqueue(op, [o = out.view(), a = input.view()] {
        dispatchAll(a.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using Out = std::conditional_t<F::kKind == UnaryKind::Test, bool, T>;
            if constexpr (F::kKind != UnaryKind::Floating || std::is_floating_point_v<Compute<T>>) {
                cpu::mapUnary<Out, T>(
                    o, a, [](T x) { return static_cast<Out>(F::apply(static_cast<Compute<T>>(x))); });
            }
        });
    });
    return out;
}

// 0 for NaN, as in PyTorch.
template <typename T>
T signOf(T x) {
    return static_cast<T>((x > T{}) - (x < T{}));
}

template <typename T>
T absOf(T x) {
    if constexpr (std::is_floating_point_v<T>) {
        return std::fabs(x);
    } else if constexpr (std::is_unsigned_v<T>) {  // bool too
        return x;
    } else {
        return x < T{} ? static_cast<T>(T{} - x) : x;
    }
}

template <typename T>
T timesOf(T x, T y) {
    if constexpr (std::is_same_v<T, bool>) {
        return x && y;
    } else {
        return static_cast<T>(x * y);
    }
}

template <typename T>
T fractionOf(T x) {
    if constexpr (std::is_floating_point_v<T>) {
        return x - std::trunc(x);
    } else {
        return T{};
    }
}

// Written so that neither end overflows.
template <typename T>
T sigmoidOf(T x) {
    return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
}

template <typename T>
T softplusOf(T x) {
    return x > 20 ? x : std::log1p(std::exp(x));
}

template <typename T>
T geluOf(T x) {
    return x * static_cast<T>(0.5) * (1 + std::erf(x * static_cast<T>(M_SQRT1_2)));
}

}  // namespace

#define DEFINE_UNARY(name, kind, refusesBool, expression)       \
    namespace {                                                 \
    struct Unary_##name {                                       \
        static constexpr UnaryKind kKind = UnaryKind::kind;     \
        static constexpr bool kRefusesBool = refusesBool;       \
        template <typename T>                                   \
        static auto apply(T x) {                                \
            return expression;                                  \
        }                                                       \
    };                                                          \
    }                                                           \
    namespace ops {                                             \
    Tensor name(Context& context, const Tensor& input) {        \
        return applyUnary<Unary_##name>(context, #name, input); \
    }                                                           \
    }
#define UNARY_FLOATING(name, expression) DEFINE_UNARY(name, Floating, false, expression)
#define UNARY_SAME(name, expression) DEFINE_UNARY(name, Same, false, expression)
#define UNARY_NUMERIC(name, expression) \
    DEFINE_UNARY(name, Same, true, expression)  // not for bool, as in PyTorch
#define UNARY_TEST(name, expression) DEFINE_UNARY(name, Test, false, expression)
// Functions that leave whole numbers as they are.
#define UNARY_ROUNDING(name, function)               \
    namespace {                                      \
    template <typename T>                            \
    T function##Of(T x) {                            \
        if constexpr (std::is_floating_point_v<T>) { \
            return std::function(x);                 \
        } else {                                     \
            return x;                                \
        }                                            \
    }                                                \
    }                                                \
    UNARY_SAME(name, function##Of(x))

UNARY_NUMERIC(neg, static_cast<T>(T{} - x))
UNARY_SAME(abs, absOf(x))
UNARY_SAME(sign, signOf(x))
UNARY_SAME(square, timesOf(x, x))
UNARY_NUMERIC(relu, x > T{} ? x : (x != x ? x : T{}))
UNARY_ROUNDING(floor, floor)
UNARY_ROUNDING(ceil, ceil)
UNARY_ROUNDING(round, nearbyint)  // halves to even
UNARY_ROUNDING(trunc, trunc)
UNARY_NUMERIC(frac, fractionOf(x))
UNARY_FLOATING(exp, std::exp(x))
UNARY_FLOATING(exp2, std::exp2(x))
UNARY_FLOATING(expm1, std::expm1(x))
UNARY_FLOATING(log, std::log(x))
UNARY_FLOATING(log1p, std::log1p(x))
UNARY_FLOATING(log2, std::log2(x))
UNARY_FLOATING(log10, std::log10(x))
UNARY_FLOATING(sqrt, std::sqrt(x))
UNARY_FLOATING(rsqrt, 1 / std::sqrt(x))
UNARY_FLOATING(reciprocal, 1 / x)
UNARY_FLOATING(sin, std::sin(x))
UNARY_FLOATING(cos, std::cos(x))
UNARY_FLOATING(tan, std::tan(x))
UNARY_FLOATING(asin, std::asin(x))
UNARY_FLOATING(acos, std::acos(x))
UNARY_FLOATING(atan, std::atan(x))
UNARY_FLOATING(sinh, std::sinh(x))
UNARY_FLOATING(cosh, std::cosh(x))
UNARY_FLOATING(asinh, std::asinh(x))
UNARY_FLOATING(acosh, std::acosh(x))
UNARY_FLOATING(atanh, std::atanh(x))
UNARY_FLOATING(tanh, std::tanh(x))
UNARY_FLOATING(sigmoid, sigmoidOf(x))
UNARY_FLOATING(silu, x* sigmoidOf(x))
UNARY_FLOATING(gelu, geluOf(x))
UNARY_FLOATING(softplus, softplusOf(x))
UNARY_FLOATING(erf, std::erf(x))
UNARY_TEST(isnan, x != x)
UNARY_TEST(isinf, std::isinf(static_cast<double>(x)))
UNARY_TEST(isfinite, std::isfinite(static_cast<double>(x)))
UNARY_TEST(logical_not, x == T{})

}  // namespace anneal
