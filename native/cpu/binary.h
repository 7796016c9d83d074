#pragma once

#include <cmath>
#include <type_traits>

#include "core/convert.h"
#include "core/kernels.h"
#include "core/ops/operands.h"
#include "core/promotion.h"
#include "cpu/loops.h"

// Declared here one by one: including core/ops.h would recompile these slow files with every new line of the
// table.
namespace anneal::ops {
Tensor to_dtype(Context& context, const Tensor& input, DType dtype);
Tensor clone(Context& context, const Tensor& input);
void copy_(Context& context, const Tensor& target, const Tensor& source);
}  // namespace anneal::ops

namespace anneal::cpu {

enum class BinaryKind {
    Arithmetic,  // in the promoted dtype
    Division,    // as Arithmetic, integers become float32
    Comparison,  // compared in the promoted dtype, gives bool
};

// Both operands in the compute dtype; a number travels inside the queued closure.
struct BinaryArguments {
    View out, a, b;
    double number;
    int numberSide;  // 0: none, 1: a, 2: b
};

template <typename F, typename Out, typename T>
void runBinary(const BinaryArguments& args) {
    const auto body = [](T x, T y) {
        return static_cast<Out>(F::apply(static_cast<Compute<T>>(x), static_cast<Compute<T>>(y)));
    };
    if (args.numberSide == 0) {
        mapBinary<Out, T, T>(args.out, args.a, args.b, body);
        return;
    }
    T value = elementOf<T>(args.number);
    View constant;
    constant.data = &value;
    constant.dtype = args.out.dtype;
    const bool left = args.numberSide == 1;
    mapBinary<Out, T, T>(args.out, left ? constant : args.a, left ? args.b : constant, body);
}

template <typename F>
void enqueueBinary(Context& context, const char* op, const Tensor& out, const Tensor* a, const Tensor* b,
                   double number, DType dtype) {
    BinaryArguments args{out.view(), a ? a->view() : View{}, b ? b->view() : View{}, number,
                         !a   ? 1
                         : !b ? 2
                              : 0};
    if (!context.device().isCpu()) {
        context.kernels().binary(context, op, {args.out, args.a, args.b, number, args.numberSide, dtype});
        return;
    }
    context.enqueue(op, [dtype, args] {
        dispatchAll(dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if constexpr (F::kChecksDivisor && std::is_integral_v<T>) F::template check<T>(args);
            if constexpr (F::kFloatingOnly && !std::is_floating_point_v<Compute<T>>) {
                return;  // the front end has promoted integers
            } else if constexpr (F::kComparison) {
                runBinary<F, bool, T>(args);
            } else {
                runBinary<F, T, T>(args);
            }
        });
    });
}

inline void refuseBool(const char* op, const Operand& a, const Operand& b) {
    const auto isBool = [](const Operand& operand) {
        return operand.tensor ? operand.tensor->dtype() == DType::Bool
                              : operand.category == Operand::Category::Bool;
    };
    CHECK_DTYPE(!isBool(a) && !isBool(b), op,
                ": not defined for bool; use logicalXor or logicalNot, or convert first");
}

template <typename F>
Tensor applyBinary(Context& context, const char* op, BinaryKind kind, const Operand& a, const Operand& b) {
    DType dtype = resultType(a, b);
    if (kind == BinaryKind::Division) dtype = floatingType(dtype);
    CHECK(a.tensor || b.tensor, ErrorKind::General, op, ": one operand must be a tensor");
    if constexpr (F::kRefusesBool) refuseBool(op, a, b);
    std::optional<Tensor> x = a.tensor, y = b.tensor;
    if (x && x->dtype() != dtype) x = ops::to_dtype(context, *x, dtype);
    if (y && y->dtype() != dtype) y = ops::to_dtype(context, *y, dtype);
    const DType outType = kind == BinaryKind::Comparison ? DType::Bool : dtype;
    Tensor out;
    if (x && y) {
        // The operand that already has the result's shape decides the memory order.
        const Dims sizes = broadcastSizes(op, x->sizes(), y->sizes());
        if (x->sizes() == sizes && (x->isDense() || y->sizes() != sizes)) {
            out = context.emptyLike(*x, outType);
        } else if (y->sizes() == sizes) {
            out = context.emptyLike(*y, outType);
        } else {
            out = context.empty(outType, sizes);
        }
    } else {
        out = context.emptyLike(x ? *x : *y, outType);
    }
    enqueueBinary<F>(context, op, out, x ? &*x : nullptr, y ? &*y : nullptr, x ? b.number : a.number, dtype);
    return out;
}

// The result keeps the target's dtype and shape.
template <typename F>
void applyInPlace(Context& context, const char* op, BinaryKind kind, const Tensor& target, const Operand& b) {
    ops::requireWritable(op, target);
    Operand a;
    a.tensor = target;
    if constexpr (F::kRefusesBool) refuseBool(op, a, b);
    DType dtype = resultType(a, b);
    if (kind == BinaryKind::Division) dtype = floatingType(dtype);
    CHECK_DTYPE(dtype == target.dtype() || (isFloating(dtype) && isFloating(target.dtype())) ||
                    (isIntegral(dtype) && isIntegral(target.dtype())),
                op, ": a result of ", dtypeName(dtype), " cannot be stored in a tensor of ",
                dtypeName(target.dtype()));
    if (b.tensor) {
        CHECK_SHAPE(broadcastSizes(op, target.sizes(), b.tensor->sizes()) == target.sizes(), op, ": shape ",
                    b.tensor->sizes().toString(), " does not fit into ", target.sizes().toString());
    }
    if (dtype == target.dtype()) {
        std::optional<Tensor> y = b.tensor;
        if (y && y->dtype() != dtype) y = ops::to_dtype(context, *y, dtype);
        // A window on the same memory under other strides would be read after it was written.
        if (y && y->storage().get() == target.storage().get() &&
            (y->offset() != target.offset() || y->strides() != target.strides() ||
             y->sizes() != target.sizes())) {
            y = ops::clone(context, *y);
        }
        enqueueBinary<F>(context, op, target, &target, y ? &*y : nullptr, b.number, dtype);
    } else {
        ops::copy_(context, target, applyBinary<F>(context, op, kind, a, b));
    }
}

}  // namespace anneal::cpu

// `expression` in terms of `x` and `y`, both of type T.
#define DEFINE_BINARY(name, kind, floatingOnly, comparison, refusesBool, expression)         \
    namespace anneal {                                                                       \
    namespace {                                                                              \
    struct Binary_##name {                                                                   \
        static constexpr bool kFloatingOnly = floatingOnly;                                  \
        static constexpr bool kComparison = comparison;                                      \
        static constexpr bool kChecksDivisor = false;                                        \
        static constexpr bool kRefusesBool = refusesBool;                                    \
        template <typename T>                                                                \
        static auto apply(T x, T y) {                                                        \
            return expression;                                                               \
        }                                                                                    \
    };                                                                                       \
    }                                                                                        \
    namespace ops {                                                                          \
    Tensor name(Context& context, const Operand& a, const Operand& b) {                      \
        return cpu::applyBinary<Binary_##name>(context, #name, cpu::BinaryKind::kind, a, b); \
    }                                                                                        \
    }                                                                                        \
    }
#define BINARY_ARITHMETIC(name, expression) DEFINE_BINARY(name, Arithmetic, false, false, false, expression)
#define BINARY_FLOATING(name, expression) DEFINE_BINARY(name, Division, true, false, false, expression)
#define BINARY_COMPARISON(name, expression) DEFINE_BINARY(name, Comparison, false, true, false, expression)
#define BINARY_IN_PLACE(name, kind)                                                             \
    namespace anneal::ops {                                                                     \
    void name##_(Context& context, const Tensor& target, const Operand& b) {                    \
        cpu::applyInPlace<Binary_##name>(context, #name "_", cpu::BinaryKind::kind, target, b); \
    }                                                                                           \
    }
