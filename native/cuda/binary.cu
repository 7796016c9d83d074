// Arithmetic, comparisons and gradients of two operands; the function is a parameter of the kernel (see
// unary.cu).
#include <limits>
#include <string_view>
#include <unordered_map>

#include "core/division.h"
#include "cuda/submit.h"
#include "cuda/walk.h"

namespace anneal::cuda {

namespace {

enum class Binary : int {
#define OP(name, ...)
#define UNARY(name)
#define BINARY(name) name,
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY
};

// In-place ops have a trailing underscore.
Binary binaryOf(std::string_view op) {
    static const std::unordered_map<std::string_view, Binary> table = {
#define OP(name, ...)
#define UNARY(name)
#define BINARY(name) {#name, Binary::name}, {#name "_", Binary::name},
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY
    };
    const auto found = table.find(op);
    CHECK_DEVICE(found != table.end(), "the kernel of ", op, " does not exist for CUDA yet");
    return found->second;
}

template <typename T>
__device__ T powerOf(T x, T y) {
    if constexpr (std::is_floating_point_v<T>) {
        return y == 2 ? x * x : std::pow(x, y);
    } else {
        if (y < T{}) {
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

// A zero divisor of integers has been reported by then.
template <typename T>
__device__ bool isReported(T divisor) {
    return !std::is_floating_point_v<T> && divisor == T{};
}

template <typename T>
__device__ T sigmoidOf(T x) {
    return 1 / (1 + std::exp(-x));
}

template <typename T>
__device__ T geluSlope(T x) {
    const T density = std::exp(-x * x / 2) * static_cast<T>(0.39894228040143267794);
    return static_cast<T>(0.5) * (1 + std::erf(x * static_cast<T>(0.70710678118654752440))) + x * density;
}

template <typename C>
__device__ C apply(Binary op, C x, C y) {
    switch (op) {
        case Binary::add:
            return static_cast<C>(x + y);
        case Binary::sub:
            return static_cast<C>(x - y);
        case Binary::mul:
            return static_cast<C>(x * y);
        case Binary::pow:
            return powerOf(x, y);
        case Binary::maximum:
            return x != x || x > y ? x : y;
        case Binary::minimum:
            return x != x || x < y ? x : y;
        case Binary::remainder:
            return isReported(y) ? C{} : remainderOf(x, y);
        case Binary::floor_divide:
            return isReported(y) ? C{} : floorDivideOf(x, y);
        default:
            break;
    }
    if constexpr (std::is_floating_point_v<C>) {
        switch (op) {
            case Binary::div:
                return x / y;
            case Binary::atan2:
                return std::atan2(x, y);
            case Binary::relu_backward:
                return y <= 0 ? C{0} : x;
            case Binary::sigmoid_backward:
                return x * y * (1 - y);
            case Binary::tanh_backward:
                return x * (1 - y * y);
            case Binary::silu_backward:
                return x * sigmoidOf(y) * (1 + y * (1 - sigmoidOf(y)));
            case Binary::gelu_backward:
                return x * geluSlope(y);
            case Binary::softplus_backward:
                return y > 20 ? x : x * sigmoidOf(y);
            default:
                break;
        }
    }
    return x;
}

template <typename T>
struct Arithmetic {
    static constexpr bool kPacked = false;
    Binary op;
    __device__ T operator()(T x, T y) const {
        if constexpr (std::is_same_v<T, bool>) {
            // Sums and products of truth: as integers, and true where these are not zero.
            return apply<int>(op, x, y) != 0;
        } else {
            return fromCompute<T>(apply<Compute<T>>(op, toCompute(x), toCompute(y)));
        }
    }
};

// Those that fill most of a step: nothing is left to choose in the kernel.
template <typename T, Binary op>
struct Fixed {
    static constexpr bool kPacked = true;
    __device__ T operator()(T x, T y) const {
        return fromCompute<T>(apply<Compute<T>>(op, toCompute(x), toCompute(y)));
    }
};

template <typename T>
struct Comparison {
    static constexpr bool kPacked = false;
    Binary op;
    __device__ bool operator()(T a, T b) const {
        const auto x = toCompute(a), y = toCompute(b);
        const decltype(x) zero{};
        switch (op) {
            case Binary::eq:
                return x == y;
            case Binary::ne:
                return x != y;
            case Binary::lt:
                return x < y;
            case Binary::le:
                return x <= y;
            case Binary::gt:
                return x > y;
            case Binary::ge:
                return x >= y;
            case Binary::logical_and:
                return x != zero && y != zero;
            case Binary::logical_or:
                return x != zero || y != zero;
            default:
                return (x != zero) != (y != zero);
        }
    }
};

bool isComparison(Binary op) { return op >= Binary::eq && op <= Binary::logical_xor; }
static_assert(static_cast<int>(Binary::logical_xor) - static_cast<int>(Binary::eq) == 8);

template <typename T>
__global__ void reportZeros(Walk<1> walk, Faults faults) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[1];
        walk.offsets(i, offset);
        if (walk.template at<const T>(0, offset[0]) == T{}) faults.simple(FaultKind::ZeroDivisor, 0, 0, 0);
    }
}

// A number beside a tensor, bound into the function.
template <typename Out, typename T, typename F>
struct Bound {
    static constexpr bool kPacked = F::kPacked;
    F f;
    T number;
    bool left;
    __device__ Out operator()(T x) const { return left ? f(number, x) : f(x, number); }
};

template <typename Out, typename T, typename F>
void run(const accelerated::BinaryOperands& given, F f, cudaStream_t stream) {
    if (given.numberSide == 0) return mapTwo<Out, T>(given.out, given.a, given.b, f, stream);
    const bool left = given.numberSide == 1;
    mapOne<Out, T>(given.out, left ? given.b : given.a, Bound<Out, T, F>{f, elementOf<T>(given.number), left},
                   stream);
}

template <typename T>
void runArithmetic(const accelerated::BinaryOperands& given, Binary op, cudaStream_t stream) {
    if constexpr (std::is_same_v<T, float> || kIsHalf<T>) {
        switch (op) {
            case Binary::add:
                return run<T, T>(given, Fixed<T, Binary::add>{}, stream);
            case Binary::mul:
                return run<T, T>(given, Fixed<T, Binary::mul>{}, stream);
            case Binary::relu_backward:
                return run<T, T>(given, Fixed<T, Binary::relu_backward>{}, stream);
            default:
                break;
        }
    }
    run<T, T>(given, Arithmetic<T>{op}, stream);
}

}  // namespace

void binary(Context& context, const char* name, const accelerated::BinaryOperands& given) {
    const Binary op = binaryOf(name);
    const bool divides = (op == Binary::remainder || op == Binary::floor_divide) && !isFloating(given.dtype);
    if (divides && given.numberSide == 2) {
        dispatchAll(given.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            CHECK(!(elementOf<T>(given.number) == T{}), ErrorKind::General, name,
                  ": integer division by zero");
        });
    }
    submit(context, name, [=](CudaRuntime& runtime) {
        dispatchAll(given.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if constexpr (std::is_integral_v<T>) {
                const View divisor = given.b;
                if (divides && given.numberSide != 2 && divisor.numel() > 0) {
                    launch(reportZeros<T>, gridFor(divisor.numel()), runtime.stream(), Walk<1>({divisor}),
                           runtime.faultsFor(name));
                }
            }
            if (isComparison(op)) {
                run<bool, T>(given, Comparison<T>{op}, runtime.stream());
            } else {
                runArithmetic<T>(given, op, runtime.stream());
            }
        });
    });
}

}  // namespace anneal::cuda
