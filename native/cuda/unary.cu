// Elementwise functions of one tensor. Which one is a parameter of the kernel: it is the same for all
// threads, so that the choice costs little beside reading memory, and one kernel for each dtype compiles in
// seconds.
#include <string_view>
#include <unordered_map>

#include "cuda/submit.h"
#include "cuda/walk.h"

namespace anneal::cuda {

namespace {

enum class Unary : int {
#define OP(name, ...)
#define UNARY(name) name,
#define BINARY(name)
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY
};

Unary unaryOf(std::string_view op) {
    static const std::unordered_map<std::string_view, Unary> table = {
#define OP(name, ...)
#define UNARY(name) {#name, Unary::name},
#define BINARY(name)
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY
    };
    const auto found = table.find(op);
    CHECK_DEVICE(found != table.end(), "the kernel of ", op, " does not exist for CUDA yet");
    return found->second;
}

// Those that only make sense for floating numbers.
template <typename C>
__device__ C applyFloating(Unary op, C x) {
    switch (op) {
        case Unary::exp:
            return std::exp(x);
        case Unary::exp2:
            return std::exp2(x);
        case Unary::expm1:
            return std::expm1(x);
        case Unary::log:
            return std::log(x);
        case Unary::log1p:
            return std::log1p(x);
        case Unary::log2:
            return std::log2(x);
        case Unary::log10:
            return std::log10(x);
        case Unary::sqrt:
            return std::sqrt(x);
        case Unary::rsqrt:
            return 1 / std::sqrt(x);
        case Unary::reciprocal:
            return 1 / x;
        case Unary::sin:
            return std::sin(x);
        case Unary::cos:
            return std::cos(x);
        case Unary::tan:
            return std::tan(x);
        case Unary::asin:
            return std::asin(x);
        case Unary::acos:
            return std::acos(x);
        case Unary::atan:
            return std::atan(x);
        case Unary::sinh:
            return std::sinh(x);
        case Unary::cosh:
            return std::cosh(x);
        case Unary::asinh:
            return std::asinh(x);
        case Unary::acosh:
            return std::acosh(x);
        case Unary::atanh:
            return std::atanh(x);
        case Unary::tanh:
            return std::tanh(x);
        case Unary::sigmoid:
            return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x));
        case Unary::silu:
            return x * (x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)));
        case Unary::gelu:
            return x * static_cast<C>(0.5) * (1 + std::erf(x * static_cast<C>(0.70710678118654752440)));
        case Unary::softplus:
            return x > 20 ? x : std::log1p(std::exp(x));
        case Unary::erf:
            return std::erf(x);
        case Unary::floor:
            return std::floor(x);
        case Unary::ceil:
            return std::ceil(x);
        case Unary::round:
            return std::nearbyint(x);
        case Unary::trunc:
            return std::trunc(x);
        case Unary::frac:
            return x - std::trunc(x);
        default:
            return x;
    }
}

template <typename C>
__device__ C applySame(Unary op, C x) {
    switch (op) {
        case Unary::neg:
            return static_cast<C>(C{} - x);
        case Unary::abs:
            if constexpr (std::is_floating_point_v<C>) {
                return std::fabs(x);
            } else if constexpr (std::is_unsigned_v<C>) {
                return x;
            } else {
                return x < C{} ? static_cast<C>(C{} - x) : x;
            }
        case Unary::sign:
            return static_cast<C>((x > C{}) - (x < C{}));
        case Unary::square:
            return static_cast<C>(x * x);
        case Unary::relu:
            return x > C{} ? x : (x != x ? x : C{});
        case Unary::frac:
            if constexpr (!std::is_floating_point_v<C>) return C{};
            break;
        default:
            break;
    }
    if constexpr (std::is_floating_point_v<C>) {
        return applyFloating(op, x);
    } else {
        return x;  // whole numbers are what rounding makes of them
    }
}

template <typename T>
struct SameDType {
    static constexpr bool kPacked = false;
    Unary op;
    __device__ T operator()(T value) const {
        if constexpr (std::is_same_v<T, bool>) {
            return op == Unary::sign || op == Unary::square || op == Unary::abs ? value
                                                                                : applySame(op, value);
        } else {
            return fromCompute<T>(applySame(op, toCompute(value)));
        }
    }
};

template <typename T>
struct Test {
    static constexpr bool kPacked = false;
    Unary op;
    __device__ bool operator()(T value) const {
        const auto x = toCompute(value);
        if (op == Unary::logical_not) return x == decltype(x){};
        if constexpr (std::is_floating_point_v<Compute<T>>) {
            if (op == Unary::isnan) return x != x;
            const bool infinite = x - x != 0 && x == x;
            return op == Unary::isinf ? infinite : !infinite && x == x;
        } else {
            return op == Unary::isfinite;
        }
    }
};

template <typename T>
struct Relu {
    static constexpr bool kPacked = true;
    __device__ T operator()(T value) const {
        const auto x = toCompute(value);
        return x > 0 ? value : fromCompute<T>(x != x ? x : Compute<T>(0));
    }
};

bool isTest(Unary op) {
    return op == Unary::isnan || op == Unary::isinf || op == Unary::isfinite || op == Unary::logical_not;
}

template <typename T>
struct LeakySlope {
    static constexpr bool kPacked = true;
    Compute<T> factor;
    __device__ T operator()(T x) const {
        const auto value = toCompute(x);
        return fromCompute<T>(value > 0 ? value : value * factor);
    }
    __device__ T operator()(T gradient, T x) const {
        const auto value = toCompute(gradient);
        return fromCompute<T>(toCompute(x) > 0 ? value : value * factor);
    }
};

}  // namespace

void unary(Context& context, const char* name, const View& out, const View& input) {
    const Unary op = unaryOf(name);
    submit(context, name, [=](CudaRuntime& runtime) {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if constexpr (std::is_floating_point_v<Compute<T>>) {
                if (op == Unary::relu) return mapOne<T, T>(out, input, Relu<T>{}, runtime.stream());
            }
            if (isTest(op)) {
                mapOne<bool, T>(out, input, Test<T>{op}, runtime.stream());
            } else {
                mapOne<T, T>(out, input, SameDType<T>{op}, runtime.stream());
            }
        });
    });
}

void leakyRelu(Context& context, const View& out, const View& input, double slope) {
    submit(context, "leaky_relu", [=](CudaRuntime& runtime) {
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            mapOne<T, T>(out, input, LeakySlope<T>{static_cast<Compute<T>>(slope)}, runtime.stream());
        });
    });
}

void leakyReluBackward(Context& context, const View& out, const View& gradient, const View& input,
                       double slope) {
    submit(context, "leaky_relu_backward", [=](CudaRuntime& runtime) {
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            mapTwo<T, T>(out, gradient, input, LeakySlope<T>{static_cast<Compute<T>>(slope)},
                         runtime.stream());
        });
    });
}

}  // namespace anneal::cuda
