// Softmax and its logarithm along one dimension.
#include "core/ops.h"
#include "cpu/kernels.h"

namespace anneal::ops {

namespace {

void requireFloating(const char* op, const Tensor& input) {
    CHECK_DTYPE(isFloating(input.dtype()), op, ": expected a floating dtype, got ", dtypeName(input.dtype()));
}

Tensor forward(Context& context, const char* op, bool logarithm, const Tensor& input, int64_t dim) {
    requireFloating(op, input);
    const int index = wrapDim(op, dim, input.dims());
    const Tensor dense = contiguous(context, input);
    Tensor out = context.empty(input.dtype(), input.sizes());
    cpu::softmax(context, logarithm, out, dense, index);
    return out;
}

Tensor backward(Context& context, const char* op, bool logarithm, const Tensor& gradient, const Tensor& output,
                int64_t dim) {
    CHECK_SHAPE(gradient.sizes() == output.sizes(), op, ": gradient ", gradient.sizes().toString(), " for output ",
                output.sizes().toString());
    const int index = wrapDim(op, dim, output.dims());
    const Tensor grad = contiguous(context, to_dtype(context, gradient, output.dtype()));
    Tensor out = context.empty(output.dtype(), output.sizes());
    cpu::softmaxBackward(context, logarithm, out, grad, contiguous(context, output), index);
    return out;
}

}  // namespace

Tensor softmax(Context& context, const Tensor& input, int64_t dim) { return forward(context, "softmax", false, input, dim); }

Tensor softmax_backward(Context& context, const Tensor& gradient, const Tensor& output, int64_t dim) {
    return backward(context, "softmax", false, gradient, output, dim);
}

Tensor log_softmax(Context& context, const Tensor& input, int64_t dim) {
    return forward(context, "logSoftmax", true, input, dim);
}

Tensor log_softmax_backward(Context& context, const Tensor& gradient, const Tensor& output, int64_t dim) {
    return backward(context, "logSoftmax", true, gradient, output, dim);
}

}  // namespace anneal::ops
