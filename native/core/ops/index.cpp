// Joining and picking.
#include "core/ops.h"
#include "core/ops/operands.h"
#include "cpu/kernels.h"

namespace anneal::ops {

namespace {

void requireIndices(const char* op, const Tensor& indices) {
    CHECK_DTYPE(isIntegral(indices.dtype()), op, ": indices must be integers, got ",
                dtypeName(indices.dtype()));
}

}  // namespace

Tensor cat(Context& context, const TensorList& inputs, int64_t dim) {
    CHECK_SHAPE(!inputs.empty(), "cat: expected at least one tensor");
    DType dtype = inputs[0].dtype();
    for (const Tensor& input : inputs) dtype = promoteTypes(dtype, input.dtype());
    const int index = wrapDim("cat", dim, inputs[0].dims());
    Dims sizes = inputs[0].sizes();
    CHECK_SHAPE(sizes.size() > 0, "cat: tensors without dimensions cannot be joined; use stack");
    sizes[index] = 0;
    for (const Tensor& input : inputs) {
        CHECK_SHAPE(input.dims() == sizes.size(), "cat: shapes ", inputs[0].sizes().toString(), " and ",
                    input.sizes().toString(), " differ in their number of dimensions");
        for (int i = 0; i < sizes.size(); i++) {
            CHECK_SHAPE(i == index || input.size(i) == sizes[i], "cat: shapes ", inputs[0].sizes().toString(),
                        " and ", input.sizes().toString(), " differ in dimension ", i,
                        ", which is not the one they are joined along");
        }
        sizes[index] += input.size(index);
    }
    bool pictures = sizes.size() == 4;
    for (const Tensor& input : inputs) pictures = pictures && input.isChannelsLast() && !input.isContiguous();
    Tensor out = pictures ? context.emptyChannelsLast(dtype, sizes) : context.empty(dtype, sizes);
    int64_t position = 0;
    for (const Tensor& input : inputs) {
        cpu::copy(context, slice(context, out, index, position, position + input.size(index), 1), input);
        position += input.size(index);
    }
    return out;
}

Tensor index_select(Context& context, const Tensor& input, int64_t dim, const Tensor& indices) {
    requireIndices("indexSelect", indices);
    CHECK_SHAPE(indices.dims() <= 1, "indexSelect: indices must have one dimension, got ",
                indices.sizes().toString());
    CHECK_SHAPE(input.dims() > 0, "indexSelect: a tensor without dimensions has no elements to select");
    const int index = wrapDim("indexSelect", dim, input.dims());
    Dims sizes = input.sizes();
    sizes[index] = indices.numel();
    Tensor out = input.isChannelsLast() && !input.isContiguous()
                     ? context.emptyChannelsLast(input.dtype(), sizes)
                     : context.empty(input.dtype(), sizes);
    cpu::indexSelect(context, out, input, index, indices);
    return out;
}

void index_add_(Context& context, const Tensor& target, int64_t dim, const Tensor& indices,
                const Tensor& source) {
    requireIndices("indexAdd", indices);
    requireWritable("indexAdd", target);
    const int index = wrapDim("indexAdd", dim, target.dims());
    Dims sizes = target.sizes();
    CHECK_SHAPE(sizes.size() > 0, "indexAdd: the target has no dimensions");
    sizes[index] = indices.numel();
    CHECK_SHAPE(source.sizes() == sizes, "indexAdd: expected a source of shape ", sizes.toString(), ", got ",
                source.sizes().toString());
    cpu::indexAdd(context, target, index, indices, to_dtype(context, source, target.dtype()));
}

Tensor gather(Context& context, const Tensor& input, int64_t dim, const Tensor& indices) {
    requireIndices("gather", indices);
    CHECK_SHAPE(input.dims() == indices.dims() && input.dims() > 0, "gather: input ",
                input.sizes().toString(), " and indices ", indices.sizes().toString(),
                " must have the same number of dimensions");
    const int index = wrapDim("gather", dim, input.dims());
    for (int i = 0; i < input.dims(); i++) {
        CHECK_SHAPE(i == index || indices.size(i) <= input.size(i), "gather: indices ",
                    indices.sizes().toString(), " reach beyond input ", input.sizes().toString(),
                    " in dimension ", i);
    }
    Tensor out = context.empty(input.dtype(), indices.sizes());
    cpu::gather(context, out, input, index, indices);
    return out;
}

void scatter_add_(Context& context, const Tensor& target, int64_t dim, const Tensor& indices,
                  const Tensor& source) {
    requireIndices("scatterAdd", indices);
    requireWritable("scatterAdd", target);
    CHECK_SHAPE(target.dims() == indices.dims() && source.dims() == indices.dims() && target.dims() > 0,
                "scatterAdd: target ", target.sizes().toString(), ", indices ", indices.sizes().toString(),
                " and source ", source.sizes().toString(), " must have the same number of dimensions");
    const int index = wrapDim("scatterAdd", dim, target.dims());
    for (int i = 0; i < target.dims(); i++) {
        CHECK_SHAPE(indices.size(i) <= source.size(i) && (i == index || indices.size(i) <= target.size(i)),
                    "scatterAdd: indices ", indices.sizes().toString(), " reach beyond target ",
                    target.sizes().toString(), " or source ", source.sizes().toString(), " in dimension ", i);
    }
    cpu::scatterAdd(context, target, index, indices, to_dtype(context, source, target.dtype()));
}

Tensor one_hot(Context& context, const Tensor& indices, int64_t classes) {
    CHECK_DTYPE(indices.dtype() == DType::Int64, "oneHot: expected int64 labels, got ",
                dtypeName(indices.dtype()));
    CHECK_SHAPE(classes > 0, "oneHot: the number of classes must be positive, got ", classes);
    Dims sizes = indices.sizes();
    sizes.push(classes);
    Tensor out = context.empty(DType::Int64, sizes);
    cpu::oneHot(context, out, indices);
    return out;
}

}  // namespace anneal::ops
