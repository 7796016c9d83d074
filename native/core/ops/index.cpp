// Joining and picking.
#include <algorithm>

#include "core/kernels.h"
#include "core/ops.h"
#include "core/ops/operands.h"

namespace anneal::ops {

namespace {

void requireIndices(const char* op, const Tensor& indices) {
    CHECK_DTYPE(isIntegral(indices.dtype()), op, ": indices must be integers, got ",
                dtypeName(indices.dtype()));
}

// The shape of what a list of indices picks.
Dims indexedShape(const char* op, const Tensor& input, int64_t start, const TensorList& indices) {
    const auto count = static_cast<int64_t>(indices.size());
    CHECK_SHAPE(count > 0 && start >= 0 && start + count <= input.dims(), op, ": ", count,
                " indices from dimension ", start, " on for shape ", input.sizes().toString());
    for (const Tensor& index : indices) {
        requireIndices(op, index);
        CHECK_SHAPE(index.sizes() == indices[0].sizes(), op, ": indices of shapes ",
                    indices[0].sizes().toString(), " and ", index.sizes().toString(), " differ");
    }
    Dims shape;
    for (int i = 0; i < start; i++) shape.push(input.size(i));
    for (const int64_t size : indices[0].sizes()) shape.push(size);
    for (int i = static_cast<int>(start + count); i < input.dims(); i++) shape.push(input.size(i));
    return shape;
}

cpu::IndexList listOf(int64_t start, const TensorList& indices, bool fromEnd) {
    cpu::IndexList list{static_cast<int>(start), {}, fromEnd};
    for (const Tensor& index : indices) list.indices.push_back(index.view());
    return list;
}

// What an op reads while it changes `target`: a copy where both lie in the same memory.
Tensor apartFrom(Context& context, const Tensor& target, const Tensor& operand) {
    return operand.storage().get() == target.storage().get() ? clone(context, operand) : operand;
}

// A tensor without dimensions as one of a single element.
Tensor atLeastOne(const Tensor& input) { return input.dims() == 0 ? input.window(Dims{1}, Dims{1}) : input; }

}  // namespace

Tensor cat(Context& context, const TensorList& given, int64_t dim) {
    CHECK_SHAPE(!given.empty(), "cat: expected at least one tensor");
    DType dtype = given[0].dtype();
    for (const Tensor& input : given) dtype = promoteTypes(dtype, input.dtype());
    // As in PyTorch, a tensor of shape [0] goes with tensors of any shape.
    TensorList inputs;
    for (const Tensor& input : given) {
        if (input.dims() != 1 || input.size(0) != 0) inputs.push_back(input);
    }
    if (inputs.empty()) inputs.push_back(given[0]);
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
        context.kernels().copy(context, slice(context, out, index, position, position + input.size(index), 1),
                               input);
        position += input.size(index);
    }
    return out;
}

Tensor index_get(Context& context, const Tensor& input, int64_t start, const TensorList& indices,
                 bool fromEnd) {
    const Dims shape = indexedShape("index", input, start, indices);
    const bool pictures = input.isChannelsLast() && !input.isContiguous() && shape.size() == 4;
    Tensor out =
        pictures ? context.emptyChannelsLast(input.dtype(), shape) : context.empty(input.dtype(), shape);
    context.kernels().indexGet(context, out, input, listOf(start, indices, fromEnd));
    return out;
}

void index_put_(Context& context, const Tensor& target, int64_t start, const TensorList& indices,
                const Tensor& values, bool accumulate) {
    requireWritable("indexPut_", target);
    const Dims shape = indexedShape("indexPut_", target, start, indices);
    CHECK_SHAPE(broadcastSizes("indexPut_", shape, values.sizes()) == shape, "indexPut_: values of shape ",
                values.sizes().toString(), " do not fit the places, of shape ", shape.toString());
    Tensor source = expand(context, to_dtype(context, values, target.dtype()), shape);
    if (source.storage().get() == target.storage().get())
        source = contiguous(context, clone(context, source));
    TensorList places;
    for (const Tensor& index : indices) places.push_back(apartFrom(context, target, index));
    context.kernels().indexPut(context, target, listOf(start, places, true), source, accumulate);
}

Tensor index_select(Context& context, const Tensor& input, int64_t dim, const Tensor& indices) {
    requireIndices("indexSelect", indices);
    CHECK_SHAPE(indices.dims() <= 1, "indexSelect: indices must have one dimension, got ",
                indices.sizes().toString());
    if (input.dims() == 0) {
        CHECK_SHAPE(indices.numel() == 1,
                    "indexSelect: of a tensor without dimensions one element can be taken, ",
                    "indices of shape ", indices.sizes().toString(), " name ", indices.numel());
        wrapDim("indexSelect", dim, 1);
        return reshape(context, index_select(context, reshape(context, input, Dims{1}), 0, indices), Dims{});
    }
    const int index = wrapDim("indexSelect", dim, input.dims());
    return index_get(context, input, index, {reshape(context, indices, Dims{-1})}, false);
}

void index_add_(Context& context, const Tensor& target, int64_t dim, const Tensor& indices,
                const Tensor& source) {
    requireIndices("indexAdd", indices);
    requireWritable("indexAdd", target);
    CHECK_SHAPE(target.dims() > 0, "indexAdd: the target has no dimensions");
    CHECK_SHAPE(indices.dims() <= 1, "indexAdd: indices must have one dimension, got ",
                indices.sizes().toString());
    const int index = wrapDim("indexAdd", dim, target.dims());
    Dims sizes = target.sizes();
    sizes[index] = indices.numel();
    CHECK_SHAPE(source.sizes() == sizes, "indexAdd: expected a source of shape ", sizes.toString(), ", got ",
                source.sizes().toString());
    const Tensor places = apartFrom(context, target, reshape(context, indices, Dims{-1}));
    const Tensor values = apartFrom(context, target, to_dtype(context, source, target.dtype()));
    context.kernels().indexPut(context, target, listOf(index, {places}, false), values, true);
}

Tensor gather(Context& context, const Tensor& input, int64_t dim, const Tensor& indices) {
    requireIndices("gather", indices);
    CHECK_SHAPE(input.dims() == indices.dims(), "gather: input ", input.sizes().toString(), " and indices ",
                indices.sizes().toString(), " must have the same number of dimensions");
    const int index = wrapDim("gather", dim, input.dims());
    for (int i = 0; i < input.dims(); i++) {
        CHECK_SHAPE(i == index || indices.size(i) <= input.size(i), "gather: indices ",
                    indices.sizes().toString(), " reach beyond input ", input.sizes().toString(),
                    " in dimension ", i);
    }
    Tensor out = context.empty(input.dtype(), indices.sizes());
    context.kernels().gather(context, atLeastOne(out), atLeastOne(input), index, atLeastOne(indices));
    return out;
}

namespace {

struct ScatterOperands {
    int dim;
    Tensor target, indices, source;
};

ScatterOperands scatterOperands(Context& context, const char* op, const Tensor& target, int64_t dim,
                                const Tensor& indices, const Tensor& source) {
    requireIndices(op, indices);
    requireWritable(op, target);
    CHECK_SHAPE(target.dims() == indices.dims() && source.dims() == indices.dims(), op, ": target ",
                target.sizes().toString(), ", indices ", indices.sizes().toString(), " and source ",
                source.sizes().toString(), " must have the same number of dimensions");
    const int index = wrapDim(op, dim, target.dims());
    for (int i = 0; i < target.dims(); i++) {
        CHECK_SHAPE(indices.size(i) <= source.size(i) && (i == index || indices.size(i) <= target.size(i)),
                    op, ": indices ", indices.sizes().toString(), " reach beyond target ",
                    target.sizes().toString(), " or source ", source.sizes().toString(), " in dimension ", i);
    }
    const Tensor places = apartFrom(context, target, indices);
    const Tensor values = apartFrom(context, target, to_dtype(context, source, target.dtype()));
    return {index, atLeastOne(target), atLeastOne(places), atLeastOne(values)};
}

}  // namespace

void scatter_(Context& context, const Tensor& target, int64_t dim, const Tensor& indices,
              const Tensor& source) {
    const ScatterOperands it = scatterOperands(context, "scatter", target, dim, indices, source);
    context.kernels().scatter(context, it.target, it.dim, it.indices, it.source);
}

void scatter_add_(Context& context, const Tensor& target, int64_t dim, const Tensor& indices,
                  const Tensor& source) {
    const ScatterOperands it = scatterOperands(context, "scatterAdd", target, dim, indices, source);
    context.kernels().scatterAdd(context, it.target, it.dim, it.indices, it.source);
}

Tensor nonzero(Context& context, const Tensor& given) {
    const Tensor input = to_device(context, given, 0);  // the count decides a shape: it has to be waited for
    const OnDevice here(context, Device::cpu());
    const Tensor truth = contiguous(context, to_dtype(context, input, DType::Bool));
    context.stream().wait();
    context.stream().throwPendingError();
    const bool* values = truth.view().as<const bool>();
    const int64_t total = truth.numel();
    const int64_t count = std::count(values, values + total, true);
    Tensor places = context.empty(DType::Int64, Dims{input.dims(), count}, true);
    int64_t* out = places.view().as<int64_t>();
    int64_t found = 0;
    for (int64_t i = 0; i < total; i++) {
        if (!values[i]) continue;
        int64_t rest = i;
        for (int d = input.dims() - 1; d >= 0; d--) {
            out[d * count + found] = rest % input.size(d);
            rest /= input.size(d);
        }
        found++;
    }
    return permute(context, to_device(context, places, given.device().number()), Dims{1, 0});
}

Tensor one_hot(Context& context, const Tensor& indices, int64_t classes) {
    CHECK_DTYPE(indices.dtype() == DType::Int64, "oneHot: expected int64 labels, got ",
                dtypeName(indices.dtype()));
    CHECK_SHAPE(classes > 0, "oneHot: the number of classes must be positive, got ", classes);
    Dims sizes = indices.sizes();
    sizes.push(classes);
    Tensor out = context.empty(DType::Int64, sizes);
    context.kernels().oneHot(context, out, indices);
    return out;
}

}  // namespace anneal::ops
