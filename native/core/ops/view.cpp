// Views: new windows on the same storage.
#include "core/ops.h"

namespace anneal::ops {

namespace {

Dims inferSizes(const char* op, const Tensor& input, Dims sizes) {
    int64_t known = 1;
    int unknown = -1;
    for (int i = 0; i < sizes.size(); i++) {
        if (sizes[i] == -1) {
            CHECK_SHAPE(unknown < 0, op, ": only one size can be -1, got ", sizes.toString());
            unknown = i;
        } else {
            CHECK_SHAPE(sizes[i] >= 0, op, ": a size is negative in ", sizes.toString());
            CHECK_SHAPE(!__builtin_mul_overflow(known, sizes[i], &known), op,
                        ": too many elements: ", sizes.toString());
        }
    }
    const int64_t count = input.numel();
    if (unknown >= 0) {
        CHECK_SHAPE(known != 0 && count % known == 0, op, ": shape ", input.sizes().toString(), " (", count,
                    " elements) cannot become ", sizes.toString());
        sizes[unknown] = count / known;
        known = count;
    }
    CHECK_SHAPE(known == count, op, ": shape ", input.sizes().toString(), " (", count,
                " elements) cannot become ", sizes.toString(), " (", known, " elements)");
    return sizes;
}

// The strides under which `input` looks like `sizes` without copying; false when there are none.
bool viewStrides(const Tensor& input, const Dims& sizes, Dims& strides) {
    strides = contiguousStrides(sizes);
    if (input.numel() == 0 || input.isContiguous()) return true;
    // Walks both shapes from the back: each group of old dimensions that lies evenly in memory must be filled
    // exactly.
    int view = sizes.size() - 1;
    int64_t base = input.strides().back(), oldCount = 1, newCount = 1;
    for (int i = input.dims() - 1; i >= 0; i--) {
        oldCount *= input.size(i);
        const bool chunkEnds =
            i == 0 || (input.size(i - 1) != 1 && input.strides()[i - 1] != oldCount * base);
        if (!chunkEnds) continue;
        while (view >= 0 && (newCount < oldCount || sizes[view] == 1)) {
            strides[view] = newCount * base;
            newCount *= sizes[view];
            view--;
        }
        if (newCount != oldCount) return false;
        if (i > 0) {
            base = input.strides()[i - 1];
            oldCount = newCount = 1;
        }
    }
    return view == -1;
}

}  // namespace

Tensor alias(Context&, const Tensor& input) { return input; }

Tensor view(Context&, const Tensor& input, Dims sizes) {
    sizes = inferSizes("view", input, sizes);
    Dims strides;
    CHECK_SHAPE(viewStrides(input, sizes, strides), "view: shape ", input.sizes().toString(),
                " with strides ", input.strides().toString(), " cannot be viewed as ", sizes.toString(),
                " without copying; use reshape, which copies when it must");
    return input.window(sizes, strides);
}

Tensor reshape(Context& context, const Tensor& input, Dims sizes) {
    sizes = inferSizes("reshape", input, sizes);
    Dims strides;
    if (viewStrides(input, sizes, strides)) return input.window(sizes, strides);
    return contiguous(context, input).window(sizes, contiguousStrides(sizes), 0);
}

Tensor permute(Context&, const Tensor& input, Dims order) {
    CHECK_SHAPE(order.size() == input.dims(), "permute: ", order.toString(),
                " does not name every dimension of ", input.sizes().toString());
    Dims sizes, strides;
    unsigned seen = 0;
    for (int i = 0; i < order.size(); i++) {
        const int dim = wrapDim("permute", order[i], input.dims());
        CHECK_SHAPE(!(seen & (1u << dim)), "permute: dimension ", dim, " appears twice in ",
                    order.toString());
        seen |= 1u << dim;
        sizes.push(input.size(dim));
        strides.push(input.strides()[dim]);
    }
    return input.window(sizes, strides);
}

Tensor expand(Context&, const Tensor& input, Dims sizes) {
    const int added = sizes.size() - input.dims();
    CHECK_SHAPE(added >= 0, "expand: ", sizes.toString(), " has fewer dimensions than ",
                input.sizes().toString());
    Dims strides = Dims::filled(sizes.size(), 0);
    for (int i = 0; i < sizes.size(); i++) {
        const int64_t old = i >= added ? input.size(i - added) : 1;
        if (sizes[i] == -1 && i >= added) sizes[i] = old;
        CHECK_SHAPE(sizes[i] == old || (old == 1 && sizes[i] >= 0), "expand: ", input.sizes().toString(),
                    " cannot be expanded to ", sizes.toString(), " (dimension ", i, ")");
        strides[i] = i >= added && sizes[i] == old ? input.strides()[i - added] : 0;
    }
    return input.window(sizes, strides);
}

Tensor squeeze(Context&, const Tensor& input, int64_t dim) {
    const int index = wrapDim("squeeze", dim, input.dims());
    if (input.dims() == 0 || input.size(index) != 1) return input;
    Dims sizes = input.sizes(), strides = input.strides();
    sizes.erase(index);
    strides.erase(index);
    return input.window(sizes, strides);
}

Tensor squeeze_all(Context&, const Tensor& input) {
    Dims sizes, strides;
    for (int i = 0; i < input.dims(); i++) {
        if (input.size(i) == 1) continue;
        sizes.push(input.size(i));
        strides.push(input.strides()[i]);
    }
    return input.window(sizes, strides);
}

Tensor unsqueeze(Context&, const Tensor& input, int64_t dim) {
    const int index = wrapDim("unsqueeze", dim, input.dims() + 1);
    Dims sizes = input.sizes(), strides = input.strides();
    const int64_t stride = index < input.dims() ? sizes[index] * strides[index] : 1;
    sizes.insert(index, 1);
    strides.insert(index, stride);
    return input.window(sizes, strides);
}

// Bounds as in Python: negative ones count from the end, too large ones are cut to the size.
Tensor slice(Context&, const Tensor& input, int64_t dim, int64_t start, int64_t end, int64_t step) {
    const int index = wrapDim("slice", dim, input.dims());
    CHECK_SHAPE(input.dims() > 0, "slice: a tensor without dimensions cannot be sliced");
    CHECK_SHAPE(step > 0, "slice: the step must be positive, got ", step);
    const int64_t size = input.size(index);
    if (start < 0) start += size;
    if (end < 0) end += size;
    start = std::min(std::max<int64_t>(start, 0), size);
    end = std::min(std::max(end, start), size);
    Dims sizes = input.sizes(), strides = input.strides();
    sizes[index] = (end - start + step - 1) / step;
    const int64_t offset = input.offset() + (sizes[index] > 0 ? start * strides[index] : 0);
    strides[index] *= step;
    return input.window(sizes, strides, offset);
}

Tensor select(Context&, const Tensor& input, int64_t dim, int64_t position) {
    CHECK_SHAPE(input.dims() > 0, "select: a tensor without dimensions has no elements to select");
    const int index = wrapDim("select", dim, input.dims());
    const int64_t size = input.size(index);
    CHECK_SHAPE(position >= -size && position < size, "select: index ", position,
                " is out of range for dimension ", index, " with size ", size);
    if (position < 0) position += size;
    Dims sizes = input.sizes(), strides = input.strides();
    const int64_t offset = input.offset() + position * strides[index];
    sizes.erase(index);
    strides.erase(index);
    return input.window(sizes, strides, offset);
}

// Any window on the storage, `offset` counted from its beginning.
Tensor as_strided(Context&, const Tensor& input, Dims sizes, Dims strides, int64_t offset) {
    CHECK_SHAPE(sizes.size() == strides.size(), "as_strided: ", sizes.size(), " sizes, but ", strides.size(),
                " strides");
    const bool any = numelOf(sizes) > 0;
    int64_t end = any ? offset : 0;
    bool fits = offset >= 0;
    for (int i = 0; any && fits && i < sizes.size(); i++) {
        int64_t reach = 0;
        fits = strides[i] >= 0 && !__builtin_mul_overflow(sizes[i] - 1, strides[i], &reach) &&
               !__builtin_add_overflow(end, reach, &end);
    }
    const auto count = static_cast<int64_t>(input.storage()->bytes() / dtypeSize(input.dtype()));
    CHECK_SHAPE(fits && (!any || end < count), "as_strided: sizes ", sizes.toString(), " with strides ",
                strides.toString(), " from ", offset, " on do not lie within ", count, " elements");
    return input.window(sizes, strides, offset);
}

// The elements whose indices along both dimensions differ by `offset`; their dimension becomes the last.
Tensor diagonal(Context&, const Tensor& input, int64_t offset, int64_t dim1, int64_t dim2) {
    CHECK_SHAPE(input.dims() >= 2, "diagonal: expected at least two dimensions, got ",
                input.sizes().toString());
    const int row = wrapDim("diagonal", dim1, input.dims()), column = wrapDim("diagonal", dim2, input.dims());
    CHECK_SHAPE(row != column, "diagonal: the two dimensions are the same: ", dim1, " and ", dim2);
    const int64_t rows = input.size(row), columns = input.size(column);
    const bool inside = offset < columns && -offset < rows;
    const int64_t length = !inside       ? 0
                           : offset >= 0 ? std::min(rows, columns - offset)
                                         : std::min(rows + offset, columns);
    Dims sizes = input.sizes(), strides = input.strides();
    const int64_t step = strides[row] + strides[column];
    const int64_t first = length == 0 ? 0 : offset >= 0 ? offset * strides[column] : -offset * strides[row];
    sizes.erase(std::max(row, column));
    strides.erase(std::max(row, column));
    sizes.erase(std::min(row, column));
    strides.erase(std::min(row, column));
    sizes.push(length);
    strides.push(step);
    return input.window(sizes, strides, input.offset() + first);
}

}  // namespace anneal::ops
