#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace anneal::cpu {

namespace {

// Indices are data: they can only be checked here, before any memory is touched.
std::vector<int64_t> checkedIndices(const View& indices, int64_t size, int dim) {
    std::vector<int64_t> result(static_cast<size_t>(indices.numel()));
    int64_t at = 0;
    View flat = indices;
    // Logical order whatever the strides: copy element by element through a row-major odometer.
    int64_t index[kMaxDims] = {};
    for (size_t k = 0; k < result.size(); k++) {
        at = 0;
        for (int d = 0; d < flat.dims(); d++) at += index[d] * flat.strides[d];
        int64_t value = 0;
        dispatchAll(flat.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            value = static_cast<int64_t>(static_cast<Compute<T>>(flat.as<const T>()[at]));
        });
        CHECK_SHAPE(value >= -size && value < size, "index ", value, " is out of range for dimension ", dim,
                    " with size ", size);
        result[k] = value < 0 ? value + size : value;
        for (int d = flat.dims() - 1; d >= 0; d--) {
            if (++index[d] < flat.sizes[d]) break;
            index[d] = 0;
        }
    }
    return result;
}

View sliceAt(const View& view, int dim, int64_t position) {
    View slice = view;
    slice.data = static_cast<char*>(view.data) +
                 position * view.strides[dim] * static_cast<int64_t>(dtypeSize(view.dtype));
    slice.sizes[dim] = 1;
    return slice;
}

template <typename T>
void addInto(const View& target, const View& source) {
    mapBinary<T, T, T>(target, target, source, [](T x, T y) {
        return static_cast<T>(static_cast<Compute<T>>(x) + static_cast<Compute<T>>(y));
    });
}

int64_t offsetOf(const View& view, const int64_t* index) {
    int64_t offset = 0;
    for (int d = 0; d < view.dims(); d++) offset += index[d] * view.strides[d];
    return offset;
}

// Calls body(index) for every position of `sizes` in row-major order.
template <typename Body>
void forEachIndex(const Dims& sizes, const Body& body) {
    const int64_t count = numelOf(sizes);
    int64_t index[kMaxDims] = {};
    for (int64_t k = 0; k < count; k++) {
        body(index, k);
        for (int d = sizes.size() - 1; d >= 0; d--) {
            if (++index[d] < sizes[d]) break;
            index[d] = 0;
        }
    }
}

}  // namespace

void indexSelect(Context& context, const View& out, const View& input, int dim, const View& indices) {
    context.enqueue("index_select", [=] {
        const std::vector<int64_t> positions = checkedIndices(indices, input.sizes[dim], dim);
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            for (size_t k = 0; k < positions.size(); k++) {
                mapUnary<T, T>(sliceAt(out, dim, static_cast<int64_t>(k)), sliceAt(input, dim, positions[k]),
                               [](T value) { return value; });
            }
        });
    });
}

void indexAdd(Context& context, const View& target, int dim, const View& indices, const View& source) {
    context.enqueue("index_add", [=] {
        const std::vector<int64_t> positions = checkedIndices(indices, target.sizes[dim], dim);
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            for (size_t k = 0; k < positions.size(); k++) {
                addInto<T>(sliceAt(target, dim, positions[k]), sliceAt(source, dim, static_cast<int64_t>(k)));
            }
        });
    });
}

void gather(Context& context, const View& out, const View& input, int dim, const View& indices) {
    context.enqueue("gather", [=] {
        const std::vector<int64_t> positions = checkedIndices(indices, input.sizes[dim], dim);
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            forEachIndex(out.sizes, [&](const int64_t* index, int64_t k) {
                const int64_t from = offsetOf(input, index) +
                                     (positions[static_cast<size_t>(k)] - index[dim]) * input.strides[dim];
                out.as<T>()[offsetOf(out, index)] = input.as<const T>()[from];
            });
        });
    });
}

void scatterAdd(Context& context, const View& target, int dim, const View& indices, const View& source) {
    context.enqueue("scatter_add", [=] {
        const std::vector<int64_t> positions = checkedIndices(indices, target.sizes[dim], dim);
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            forEachIndex(indices.sizes, [&](const int64_t* index, int64_t k) {
                const int64_t to = offsetOf(target, index) +
                                   (positions[static_cast<size_t>(k)] - index[dim]) * target.strides[dim];
                T& slot = target.as<T>()[to];
                slot = static_cast<T>(static_cast<Compute<T>>(slot) +
                                      static_cast<Compute<T>>(source.as<const T>()[offsetOf(source, index)]));
            });
        });
    });
}

void oneHot(Context& context, const View& out, const View& indices) {
    context.enqueue("one_hot", [=] {
        const int64_t classes = out.sizes[out.dims() - 1];
        int64_t* target = out.as<int64_t>();
        std::memset(target, 0, static_cast<size_t>(out.numel()) * sizeof(int64_t));
        forEachIndex(indices.sizes, [&](const int64_t* index, int64_t k) {
            const int64_t label = indices.as<const int64_t>()[offsetOf(indices, index)];
            CHECK_SHAPE(label >= 0 && label < classes, "label ", label, " at position ", k,
                        " is out of range: there are ", classes, " classes (0 to ", classes - 1, ")");
            target[k * classes + label] = 1;
        });
    });
}

}  // namespace anneal::cpu
