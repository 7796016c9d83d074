// Reductions over a list of dimensions; an empty list means all of them.
#include "core/kernels.h"
#include "core/ops.h"
#include "core/promotion.h"

namespace anneal::ops {

namespace {

struct ReducedShape {
    Dims full;   // as the input, size 1 where reduced: what the kernel writes
    Dims final;  // what the caller sees
    int64_t count = 1;
};

ReducedShape reducedShape(const char* op, const Tensor& input, const Dims& dims, bool keepdim) {
    bool reduced[kMaxDims] = {};
    for (int64_t dim : dims) {
        const int index = wrapDim(op, dim, input.dims());
        CHECK_SHAPE(!reduced[index], op, ": dimension ", dim, " appears twice in ", dims.toString());
        reduced[index] = true;
    }
    ReducedShape shape;
    for (int i = 0; i < input.dims(); i++) {
        const bool here = dims.empty() || reduced[i];
        shape.full.push(here ? 1 : input.size(i));
        if (here) shape.count *= input.size(i);
        if (!here || keepdim) shape.final.push(shape.full[i]);
    }
    return shape;
}

Tensor reduceTo(Context& context, const char* op, cpu::Reduction kind, const Tensor& input, const Dims& dims,
                bool keepdim, DType dtype) {
    const ReducedShape shape = reducedShape(op, input, dims, keepdim);
    if (kind == cpu::Reduction::Max || kind == cpu::Reduction::Min) {
        CHECK_SHAPE(shape.count > 0, op, ": no elements to compare in shape ", input.sizes().toString());
    }
    Tensor out = context.empty(dtype, shape.full);
    context.kernels().reduce(context, kind, out, input);
    return out.window(shape.final, contiguousStrides(shape.final));
}

DType sumType(const Tensor& input) { return isFloating(input.dtype()) ? input.dtype() : DType::Int64; }

void requireFloating(const char* op, const Tensor& input) {
    CHECK_DTYPE(isFloating(input.dtype()), op, ": expected a floating dtype, got ", dtypeName(input.dtype()));
}

TensorList extremum(Context& context, const char* op, bool largest, const Tensor& input, int64_t dim,
                    bool keepdim) {
    const int index = wrapDim(op, dim, input.dims());
    const Tensor source = input.dims() == 0 ? input.window(Dims{1}, Dims{1}) : input;
    CHECK_SHAPE(source.size(index) > 0, op, ": dimension ", dim, " of ", input.sizes().toString(),
                " has no elements");
    Dims full = source.sizes(), final = input.sizes();
    full[index] = 1;
    if (input.dims() > 0) {
        if (keepdim) {
            final[index] = 1;
        } else {
            final.erase(index);
        }
    }
    Tensor values = context.empty(input.dtype(), full), indices = context.empty(DType::Int64, full);
    context.kernels().extremum(context, largest, values, indices, source, index);
    const Dims strides = contiguousStrides(final);
    return {values.window(final, strides), indices.window(final, strides)};
}

}  // namespace

Tensor sum(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return reduceTo(context, "sum", cpu::Reduction::Sum, input, dims, keepdim, sumType(input));
}

Tensor mean(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    requireFloating("mean", input);
    return reduceTo(context, "mean", cpu::Reduction::Mean, input, dims, keepdim, input.dtype());
}

Tensor prod(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return reduceTo(context, "prod", cpu::Reduction::Prod, input, dims, keepdim, sumType(input));
}

Tensor amax(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return reduceTo(context, "amax", cpu::Reduction::Max, input, dims, keepdim, input.dtype());
}

Tensor amin(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return reduceTo(context, "amin", cpu::Reduction::Min, input, dims, keepdim, input.dtype());
}

// Truth is bool, except that of uint8, as in PyTorch.
static Tensor truthOf(Context& context, const Tensor& truth, const Tensor& input) {
    return input.dtype() == DType::UInt8 ? to_dtype(context, truth, DType::UInt8) : truth;
}

Tensor any(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return truthOf(context, reduceTo(context, "any", cpu::Reduction::Any, input, dims, keepdim, DType::Bool),
                   input);
}

Tensor all(Context& context, const Tensor& input, Dims dims, bool keepdim) {
    return truthOf(context, reduceTo(context, "all", cpu::Reduction::All, input, dims, keepdim, DType::Bool),
                   input);
}

Tensor variance(Context& context, const Tensor& input, Dims dims, double correction, bool keepdim) {
    requireFloating("var", input);
    const ReducedShape shape = reducedShape("var", input, dims, keepdim);
    Tensor out = context.empty(input.dtype(), shape.full);
    context.kernels().variance(context, out, input, correction);
    return out.window(shape.final, contiguousStrides(shape.final));
}

TensorList max_dim(Context& context, const Tensor& input, int64_t dim, bool keepdim) {
    return extremum(context, "max", true, input, dim, keepdim);
}

TensorList min_dim(Context& context, const Tensor& input, int64_t dim, bool keepdim) {
    return extremum(context, "min", false, input, dim, keepdim);
}

Tensor argmax_all(Context& context, const Tensor& input) {
    return extremum(context, "argmax", true, reshape(context, input, Dims{-1}), 0, false)[1];
}

Tensor argmin_all(Context& context, const Tensor& input) {
    return extremum(context, "argmin", false, reshape(context, input, Dims{-1}), 0, false)[1];
}

TensorList sort(Context& context, const Tensor& input, int64_t dim, bool descending) {
    const int index = wrapDim("sort", dim, input.dims());
    if (input.dims() == 0) return {clone(context, input), full(context, Dims{}, 0, DType::Int64)};
    Tensor values = context.empty(input.dtype(), input.sizes()),
           indices = context.empty(DType::Int64, input.sizes());
    context.kernels().sort(context, values, indices, input, index, descending, input.size(index));
    return {values, indices};
}

TensorList topk(Context& context, const Tensor& input, int64_t count, int64_t dim, bool largest) {
    const int index = wrapDim("topk", dim, input.dims());
    const Tensor source = input.dims() == 0 ? input.window(Dims{1}, Dims{1}) : input;
    CHECK_SHAPE(count >= 0 && count <= source.size(index), "topk: ", count, " asked for, dimension ", dim,
                " of ", input.sizes().toString(), " has ", source.size(index));
    Dims sizes = source.sizes();
    sizes[index] = count;
    Tensor values = context.empty(input.dtype(), sizes), indices = context.empty(DType::Int64, sizes);
    context.kernels().sort(context, values, indices, source, index, largest, count);
    if (input.dims() == 0 && count == 1)
        return {values.window(Dims{}, Dims{}), indices.window(Dims{}, Dims{})};
    return {values, indices};
}

Tensor cumsum(Context& context, const Tensor& input, int64_t dim, bool reverse) {
    const int index = wrapDim("cumsum", dim, input.dims());
    const Tensor source = to_dtype(context, input, sumType(input));
    if (input.dims() == 0) return clone(context, source);
    Tensor out = context.empty(source.dtype(), source.sizes());
    context.kernels().cumsum(context, out, source, index, reverse);
    return out;
}

Tensor cumprod(Context& context, const Tensor& input, int64_t dim) {
    const int index = wrapDim("cumprod", dim, input.dims());
    const Tensor source = to_dtype(context, input, sumType(input));
    if (input.dims() == 0) return clone(context, source);
    Tensor out = context.empty(source.dtype(), source.sizes());
    context.kernels().cumprod(context, out, source, index);
    return out;
}

Tensor cumprod_backward(Context& context, const Tensor& gradient, const Tensor& input, const Tensor& output,
                        int64_t dim) {
    requireFloating("cumprod", input);
    CHECK_SHAPE(gradient.sizes() == input.sizes() && output.sizes() == input.sizes(), "cumprod: gradient ",
                gradient.sizes().toString(), " and output ", output.sizes().toString(), " for an input of ",
                input.sizes().toString());
    const int index = wrapDim("cumprod", dim, input.dims());
    if (input.dims() == 0) return clone(context, gradient);
    Tensor out = context.empty(input.dtype(), input.sizes());
    context.kernels().cumprodBackward(context, out, to_dtype(context, gradient, input.dtype()), input,
                                      to_dtype(context, output, input.dtype()), index);
    return out;
}

}  // namespace anneal::ops
