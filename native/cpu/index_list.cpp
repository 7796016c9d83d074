// Reading and writing at places given by one tensor of indices for each of several dimensions.
#include <algorithm>
#include <vector>

#include "cpu/indices.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace anneal::cpu {

namespace {

View without(const View& view, int start, int count) {
    View rest = view;
    for (int i = 0; i < count; i++) {
        rest.sizes.erase(start);
        rest.strides.erase(start);
    }
    return rest;
}

// Offsets in elements of every place, in logical order.
struct Places {
    std::vector<int64_t> picked;  // in the tensor that the indices point into
    std::vector<int64_t> dense;   // in the tensor whose dimensions the indices' shape takes

    Places(const View& source, const View& other, const IndexList& list) {
        const Dims& shape = list.indices[0].sizes;
        picked.assign(static_cast<size_t>(numelOf(shape)), 0);
        for (size_t k = 0; k < list.indices.size(); k++) {
            const int dim = list.start + static_cast<int>(k);
            const std::vector<int64_t> values =
                checkedIndices(list.indices[k], source.sizes[dim], dim, list.fromEnd);
            for (size_t i = 0; i < values.size(); i++) picked[i] += values[i] * source.strides[dim];
        }
        dense.reserve(picked.size());
        forEachIndex(shape, [&](const int64_t* index, int64_t) {
            int64_t offset = 0;
            for (int d = 0; d < shape.size(); d++) offset += index[d] * other.strides[list.start + d];
            dense.push_back(offset);
        });
    }
};

// What the two tensors have in common beside the indexed dimensions, the place of the target first.
LoopPlan<2> remainder(const View& target, int targetCount, const View& source, int sourceCount, int start) {
    return LoopPlan<2>({without(target, start, targetCount), without(source, start, sourceCount)});
}

template <typename T>
LoopPlan<2> moved(const LoopPlan<2>& plan, int64_t target, int64_t source) {
    LoopPlan<2> result = plan;
    result.data[0] += target * static_cast<int64_t>(sizeof(T));
    result.data[1] += source * static_cast<int64_t>(sizeof(T));
    return result;
}

template <typename T>
constexpr auto kCopyRow = [](char* const* p, const int64_t* s, int64_t count) {
    if (s[0] == sizeof(T) && s[1] == sizeof(T)) {
        std::copy_n(reinterpret_cast<const T*>(p[1]), count, reinterpret_cast<T*>(p[0]));
    } else {
        for (int64_t i = 0; i < count; i++) {
            *reinterpret_cast<T*>(p[0] + i * s[0]) = *reinterpret_cast<const T*>(p[1] + i * s[1]);
        }
    }
};

template <typename T>
constexpr auto kAddRow = [](char* const* p, const int64_t* s, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        T& slot = *reinterpret_cast<T*>(p[0] + i * s[0]);
        slot = static_cast<T>(static_cast<Compute<T>>(slot) +
                              static_cast<Compute<T>>(*reinterpret_cast<const T*>(p[1] + i * s[1])));
    }
};

}  // namespace

void indexGet(Context& context, const View& out, const View& input, const IndexList& list) {
    context.enqueue("index", [=] {
        const Places places(input, out, list);
        const int indexed = static_cast<int>(list.indices.size()), shape = list.indices[0].dims();
        const LoopPlan<2> plan = remainder(out, shape, input, indexed, list.start);
        const auto count = static_cast<int64_t>(places.picked.size());
        if (plan.numel == 0) return;
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            parallelFor(count, std::max<int64_t>(1, kGrain / plan.numel), [&](int64_t begin, int64_t end) {
                for (int64_t k = begin; k < end; k++) {
                    const int64_t to = places.dense[static_cast<size_t>(k)],
                                  from = places.picked[static_cast<size_t>(k)];
                    if (plan.numel == 1) {
                        out.as<T>()[to] = input.as<const T>()[from];
                    } else {
                        moved<T>(plan, to, from).range(0, plan.numel, kCopyRow<T>);
                    }
                }
            });
        });
    });
}

void indexPut(Context& context, const View& target, const IndexList& list, const View& values,
              bool accumulate) {
    context.enqueue("index_put", [=] {
        const Places places(target, values, list);
        const int indexed = static_cast<int>(list.indices.size()), shape = list.indices[0].dims();
        const LoopPlan<2> plan = remainder(target, indexed, values, shape, list.start);
        const size_t count = places.picked.size();
        if (plan.numel == 0 || count == 0) return;
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if (plan.numel == 1) {
                for (size_t k = 0; k < count; k++) {
                    T& slot = target.as<T>()[places.picked[k]];
                    const T value = values.as<const T>()[places.dense[k]];
                    slot =
                        accumulate
                            ? static_cast<T>(static_cast<Compute<T>>(slot) + static_cast<Compute<T>>(value))
                            : value;
                }
                return;
            }
            // A place may come twice: each thread walks all places, with a share of the rest of the tensor.
            const int64_t grain = std::max<int64_t>(256, kGrain / static_cast<int64_t>(count));
            parallelFor(plan.numel, grain, [&](int64_t begin, int64_t end) {
                for (size_t k = 0; k < count; k++) {
                    const LoopPlan<2> here = moved<T>(plan, places.picked[k], places.dense[k]);
                    if (accumulate) {
                        here.range(begin, end, kAddRow<T>);
                    } else {
                        here.range(begin, end, kCopyRow<T>);
                    }
                }
            });
        });
    });
}

}  // namespace anneal::cpu
