// Softmax and its logarithm along one dimension of a tensor in any dense order of memory.
#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

// Dense memory as [outer, size of `dim`, inner]: whatever the order of dimensions, those with smaller strides
// than `dim` lie within one step of it.
cpu::SoftmaxShape shapeOf(const Tensor& tensor, int dim) {
    const int64_t count = tensor.numel(), size = tensor.dims() == 0 ? 1 : tensor.size(dim);
    if (count == 0) return {0, 0, 0};
    if (size == 1) return {count, 1, 1};
    const int64_t inner = tensor.strides()[dim];
    return {count / (size * inner), size, inner};
}

Tensor forward(Context& context, const char* op, bool logarithm, const Tensor& input, int64_t dim) {
    CHECK_DTYPE(isFloating(input.dtype()), op, ": expected a floating dtype, got ", dtypeName(input.dtype()));
    const int index = wrapDim(op, dim, input.dims());
    const Tensor source = input.isDense() ? input : contiguous(context, input);
    Tensor out = context.emptyLike(source);
    context.kernels().softmax(context, out, source, shapeOf(source, index), logarithm);
    return out;
}

Tensor backward(Context& context, const char* op, bool logarithm, const Tensor& gradient,
                const Tensor& output, int64_t dim) {
    CHECK_SHAPE(gradient.sizes() == output.sizes(), op, ": a gradient of shape ", gradient.sizes().toString(),
                " for an output of shape ", output.sizes().toString());
    CHECK_DTYPE(isFloating(output.dtype()) && gradient.dtype() == output.dtype(), op, ": a gradient of ",
                dtypeName(gradient.dtype()), " for an output of ", dtypeName(output.dtype()));
    const int index = wrapDim(op, dim, output.dims());
    const Tensor y = output.isDense() ? output : contiguous(context, output);
    Tensor out = context.emptyLike(y), g = gradient;
    if (g.strides() != y.strides()) {
        g = context.emptyLike(y);
        copy_(context, g, gradient);
    }
    context.kernels().softmaxBackward(context, out, g, y, shapeOf(y, index), logarithm);
    return out;
}

}  // namespace

Tensor softmax(Context& context, const Tensor& input, int64_t dim) {
    return forward(context, "softmax", false, input, dim);
}

Tensor log_softmax(Context& context, const Tensor& input, int64_t dim) {
    return forward(context, "logSoftmax", true, input, dim);
}

Tensor softmax_backward(Context& context, const Tensor& gradient, const Tensor& output, int64_t dim) {
    return backward(context, "softmax", false, gradient, output, dim);
}

Tensor log_softmax_backward(Context& context, const Tensor& gradient, const Tensor& output, int64_t dim) {
    return backward(context, "logSoftmax", true, gradient, output, dim);
}

}  // namespace anneal::ops
