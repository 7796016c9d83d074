// The one activation with a parameter of its own: the slope for negative inputs.
#include "core/kernels.h"
#include "core/ops.h"
#include "core/promotion.h"
#include "cpu/loops.h"

namespace anneal::ops {

Tensor leaky_relu(Context& context, const Tensor& input, double slope) {
    CHECK_DTYPE(isFloating(input.dtype()), "leakyRelu: expected a floating dtype, got ",
                dtypeName(input.dtype()));
    Tensor out = context.emptyLike(input);
    if (!context.device().isCpu()) {
        context.kernels().leakyRelu(context, out, input, slope);
        return out;
    }
    context.enqueue("leaky_relu", [slope, o = out.view(), a = input.view()] {
        dispatchFloating(a.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const auto factor = static_cast<Compute<T>>(slope);
            cpu::mapUnary<T, T>(o, a, [factor](T x) {
                const auto value = static_cast<Compute<T>>(x);
                return static_cast<T>(value > 0 ? value : value * factor);
            });
        });
    });
    return out;
}

Tensor leaky_relu_backward(Context& context, const Tensor& gradient, const Tensor& input, double slope) {
    CHECK_DTYPE(isFloating(input.dtype()), "leakyRelu: expected a floating dtype, got ",
                dtypeName(input.dtype()));
    CHECK_SHAPE(gradient.sizes() == input.sizes(), "leakyRelu: gradient ", gradient.sizes().toString(),
                " for input ", input.sizes().toString());
    Tensor out = context.emptyLike(input);
    const Tensor grad = to_dtype(context, gradient, input.dtype());
    if (!context.device().isCpu()) {
        context.kernels().leakyReluBackward(context, out, grad, input, slope);
        return out;
    }
    context.enqueue("leaky_relu_backward", [slope, o = out.view(), g = grad.view(), a = input.view()] {
        dispatchFloating(a.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const auto factor = static_cast<Compute<T>>(slope);
            cpu::mapBinary<T, T, T>(o, g, a, [factor](T gradientValue, T x) {
                const auto value = static_cast<Compute<T>>(gradientValue);
                return static_cast<T>(static_cast<Compute<T>>(x) > 0 ? value : value * factor);
            });
        });
    });
    return out;
}

}  // namespace anneal::ops
