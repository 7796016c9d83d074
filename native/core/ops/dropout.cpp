// Dropout with PyTorch's draws.
#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

void checkDropout(const Tensor& input, double probability) {
    CHECK_DTYPE(isFloating(input.dtype()), "dropout: expected a floating dtype, got ",
                dtypeName(input.dtype()));
    CHECK(probability >= 0 && probability <= 1, ErrorKind::General,
          "dropout: the probability must be in [0, 1], got ", probability);
}

// `tensor` in the memory order of `like`, which is dense.
Tensor alignedTo(Context& context, const Tensor& tensor, const Tensor& like) {
    if (tensor.strides() == like.strides()) return tensor;
    Tensor result = context.emptyLike(like, tensor.dtype());
    copy_(context, result, tensor);
    return result;
}

}  // namespace

// Returns the output and a mask with 1 where an element was kept. Draws follow the order of the indices,
// whatever the order of memory, as PyTorch's do for its default layout.
TensorList dropout(Context& context, const Tensor& input, double probability) {
    checkDropout(input, probability);
    const Tensor source = input.isDense() ? input : contiguous(context, input);
    Tensor drawn = context.empty(DType::UInt8, input.sizes());
    context.kernels().drawMask(context, drawn, 1 - probability);
    const Tensor mask = source.isContiguous() ? drawn : alignedTo(context, drawn, source);
    Tensor out = context.emptyLike(source);
    context.kernels().applyMask(context, out, source, mask, 1 - probability);
    return {out, mask};
}

Tensor dropout_backward(Context& context, const Tensor& gradient, const Tensor& mask, double probability) {
    checkDropout(gradient, probability);
    CHECK_SHAPE(mask.sizes() == gradient.sizes() && mask.dtype() == DType::UInt8 && mask.isDense(),
                "dropout: a mask ", describe(mask), " for a gradient ", describe(gradient));
    const Tensor source = alignedTo(context, gradient, mask);
    Tensor out = context.emptyLike(source);
    context.kernels().applyMask(context, out, source, mask, 1 - probability);
    return out;
}

}  // namespace anneal::ops
