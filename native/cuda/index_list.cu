// Reading and writing at places given by one tensor of indices for each of several dimensions.
#include "cuda/indices.h"

namespace anneal::cuda {

namespace {

constexpr int kMostIndexed = kMaxDims;

struct ListPlan {
    int count = 0, start = 0;
    bool fromEnd = false;
    Indices indices[kMostIndexed];
    int64_t indexSteps[kMostIndexed][kMaxDims];  // of each index tensor, over the indices' shape
    int64_t pickedSteps[kMostIndexed], pickedSizes[kMostIndexed];
    int shapeDims = 0, restDims = 0;
    int64_t places = 1, rest = 1;
    int64_t shape[kMaxDims], denseSteps[kMaxDims];                           // over the indices' shape
    int64_t restSizes[kMaxDims], restPicked[kMaxDims], restDense[kMaxDims];  // the dimensions in common

    ListPlan(const View& picked, const View& dense, const cpu::IndexList& list)
        : count(static_cast<int>(list.indices.size())), start(list.start), fromEnd(list.fromEnd) {
        const Dims& sizes = list.indices[0].sizes;
        shapeDims = sizes.size();
        for (int d = 0; d < shapeDims; d++) {
            shape[d] = sizes[d];
            denseSteps[d] = dense.strides[start + d];
            places *= sizes[d];
        }
        for (int k = 0; k < count; k++) {
            indices[k] = Indices(list.indices[static_cast<size_t>(k)]);
            for (int d = 0; d < shapeDims; d++)
                indexSteps[k][d] = list.indices[static_cast<size_t>(k)].strides[d];
            pickedSteps[k] = picked.strides[start + k];
            pickedSizes[k] = picked.sizes[start + k];
        }
        for (int d = 0; d < picked.dims(); d++) {
            if (d >= start && d < start + count) continue;
            restSizes[restDims] = picked.sizes[d];
            restPicked[restDims] = picked.strides[d];
            restDense[restDims] = dense.strides[d < start ? d : d - count + shapeDims];
            rest *= picked.sizes[d];
            restDims++;
        }
    }

    // An owner for each combination of indices, whatever the dimensions in common.
    int64_t owners() const {
        int64_t product = 1;
        for (int k = 0; k < count; k++) product *= pickedSizes[k];
        return product;
    }
    // Whether a place that comes several times could get different values.
    bool contested() const {
        for (int d = 0; d < shapeDims; d++) {
            if (shape[d] > 1 && denseSteps[d] != 0) return true;
        }
        return false;
    }
};

// One place of the indices: offsets in both tensors, and which owner it has.
struct Place {
    int64_t picked = 0, dense = 0, owner = 0;
};

// False for an index out of range, which is noted.
__device__ bool findPlace(const ListPlan& plan, int64_t number, Place& found, const Faults& faults) {
    int64_t at[kMostIndexed] = {};
    for (int d = plan.shapeDims - 1; d >= 0; d--) {
        const int64_t step = number % plan.shape[d];
        number /= plan.shape[d];
        found.dense += step * plan.denseSteps[d];
        for (int k = 0; k < plan.count; k++) at[k] += step * plan.indexSteps[k][d];
    }
    for (int k = 0; k < plan.count; k++) {
        int64_t index = indexAt(plan.indices[k].dtype, plan.indices[k].data, at[k]);
        if (!inRange(index, plan.pickedSizes[k], plan.start + k, plan.fromEnd, faults)) return false;
        found.picked += index * plan.pickedSteps[k];
        found.owner = found.owner * plan.pickedSizes[k] + index;
    }
    return true;
}

__global__ void claimPlaces(Owner* owners, ListPlan plan, Faults faults) {
    for (int64_t i = globalThread(); i < plan.places; i += globalThreads()) {
        Place place;
        if (findPlace(plan, i, place, faults)) claimPlace(owners + place.owner, i);
    }
}

template <typename T, Mode mode>
__global__ void atPlaces(T* picked, T* dense, ListPlan plan, const Owner* owners, Faults faults) {
    const int64_t total = plan.places * plan.rest;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t number = i / plan.rest;
        int64_t rest = i % plan.rest;
        Place place;
        if (!findPlace(plan, number, place, faults)) continue;
        if constexpr (mode == Mode::Write) {
            if (!ownsPlace(owners ? owners + place.owner : nullptr, number)) continue;
        }
        for (int d = plan.restDims - 1; d >= 0; d--) {
            const int64_t step = rest % plan.restSizes[d];
            rest /= plan.restSizes[d];
            place.picked += step * plan.restPicked[d];
            place.dense += step * plan.restDense[d];
        }
        moveElement<mode>(picked[place.picked], dense[place.dense]);
    }
}

// `memory`: the plan's owners, where Mode::Write needs them.
template <typename T, Mode mode>
void launchAtPlaces(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                    const ListPlan& plan, void* memory = nullptr) {
    if (plan.places * plan.rest == 0) return;
    Owner* const owners = memory ? clearOwners(runtime, memory, plan.owners()) : nullptr;
    if (owners)
        launch(claimPlaces, gridFor(plan.places), runtime.stream(), owners, plan, runtime.faultsFor(op));
    launch(atPlaces<T, mode>, gridFor(plan.places * plan.rest), runtime.stream(), picked.as<T>(),
           dense.as<T>(), plan, static_cast<const Owner*>(owners), runtime.faultsFor(op));
}

}  // namespace

void indexGet(Context& context, const View& out, const View& input, const cpu::IndexList& list) {
    const ListPlan plan(input, out, list);
    submit(context, "index", [=](CudaRuntime& runtime) {
        dispatchSize(out.dtype, [&](auto word) {
            launchAtPlaces<decltype(word), Mode::Read>(runtime, "index", input, out, plan);
        });
    });
}

void indexPut(Context& context, const View& target, const cpu::IndexList& list, const View& values,
              bool accumulate) {
    const ListPlan plan(target, values, list);
    const bool asks = !accumulate && plan.contested();
    const Tensor scratch = context.scratch(asks ? static_cast<size_t>(plan.owners()) * sizeof(Owner) : 0);
    submit(context, "index_put", [=, memory = asks ? scratch.data() : nullptr](CudaRuntime& runtime) {
        if (!accumulate) {
            return dispatchSize(target.dtype, [&](auto word) {
                launchAtPlaces<decltype(word), Mode::Write>(runtime, "index_put", target, values, plan,
                                                            memory);
            });
        }
        if (target.dtype == DType::Bool)
            return launchAtPlaces<uint8_t, Mode::Or>(runtime, "index_put", target, values, plan);
        dispatchAdding(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launchAtPlaces<T, Mode::Add>(runtime, "index_put", target, values, plan);
        });
    });
}

}  // namespace anneal::cuda
