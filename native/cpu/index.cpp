// Reading and writing at one index for each element.
#include <cstring>
#include <vector>

#include "cpu/indices.h"
#include "cpu/kernels.h"

namespace anneal::cpu {

std::vector<int64_t> checkedIndices(const View& indices, int64_t size, int dim, bool fromEnd) {
    std::vector<int64_t> result(static_cast<size_t>(indices.numel()));
    const int64_t lowest = fromEnd ? -size : 0;
    dispatchAll(indices.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        forEachIndex(indices.sizes, [&](const int64_t* index, int64_t k) {
            const auto value = static_cast<int64_t>(
                static_cast<Compute<T>>(indices.as<const T>()[offsetOf(indices, index)]));
            CHECK_SHAPE(value >= lowest && value < size, "index ", value, " is out of range for dimension ",
                        dim, " with size ", size);
            result[static_cast<size_t>(k)] = value < 0 ? value + size : value;
        });
    });
    return result;
}

namespace {

// Calls body(slot of the target, element of the source) for every index.
template <typename T, typename Body>
void forEachTarget(const View& target, int dim, const View& indices, const View& source, const Body& body) {
    const std::vector<int64_t> positions = checkedIndices(indices, target.sizes[dim], dim, false);
    forEachIndex(indices.sizes, [&](const int64_t* index, int64_t k) {
        const int64_t to =
            offsetOf(target, index) + (positions[static_cast<size_t>(k)] - index[dim]) * target.strides[dim];
        body(target.as<T>()[to], source.as<const T>()[offsetOf(source, index)]);
    });
}

}  // namespace

void gather(Context& context, const View& out, const View& input, int dim, const View& indices) {
    context.enqueue("gather", [=] {
        const std::vector<int64_t> positions = checkedIndices(indices, input.sizes[dim], dim, false);
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

void scatter(Context& context, const View& target, int dim, const View& indices, const View& source) {
    context.enqueue("scatter", [=] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            forEachTarget<T>(target, dim, indices, source, [](T& slot, T value) { slot = value; });
        });
    });
}

void scatterAdd(Context& context, const View& target, int dim, const View& indices, const View& source) {
    context.enqueue("scatter_add", [=] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            forEachTarget<T>(target, dim, indices, source, [](T& slot, T value) {
                slot = static_cast<T>(static_cast<Compute<T>>(slot) + static_cast<Compute<T>>(value));
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
