// Reading and writing at one index for each element, and at places given by one tensor of indices for each of
// several dimensions. Indices are checked where they are used; one out of range is noted, and nothing is read
// or written for it.
#include "cuda/collective.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

struct Shape {
    int dims = 0;
    int64_t numel = 1;
    int64_t sizes[kMaxDims];

    explicit Shape(const Dims& given) : dims(given.size()) {
        for (int i = 0; i < dims; i++) {
            sizes[i] = given[i];
            numel *= given[i];
        }
    }
};

struct Strides {
    int64_t steps[kMaxDims];

    explicit Strides(const View& view) {
        for (int i = 0; i < view.dims(); i++) steps[i] = view.strides[i];
    }
};

// What an index tensor holds at an offset.
__device__ int64_t indexAt(DType dtype, const void* data, int64_t offset) {
    switch (dtype) {
        case DType::Int64:
            return static_cast<const int64_t*>(data)[offset];
        case DType::Int32:
            return static_cast<const int32_t*>(data)[offset];
        default:
            return static_cast<const uint8_t*>(data)[offset];
    }
}

struct Indices {
    DType dtype;
    const void* data;
    explicit Indices(const View& view) : dtype(view.dtype), data(view.data) {}
    Indices() : dtype(DType::Int64), data(nullptr) {}
};

// False for an index out of range, which is noted.
__device__ bool inRange(int64_t& index, int64_t size, int dim, bool fromEnd, const Faults& faults) {
    if (index < (fromEnd ? -size : 0) || index >= size) {
        faults.index(index, dim, size);
        return false;
    }
    if (index < 0) index += size;
    return true;
}

// Sums as the processor does, in the type computed in: one thread after the other adds to a place, in no
// fixed order, so that the last bits of floating sums may differ from run to run.
template <typename T>
__device__ void addTo(T* slot, T value) {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double>) {
        atomicAdd(slot, value);
    } else if constexpr (std::is_same_v<T, int64_t>) {
        atomicAdd(reinterpret_cast<unsigned long long*>(slot), static_cast<unsigned long long>(value));
    } else if constexpr (std::is_same_v<T, int32_t>) {
        atomicAdd(slot, value);
    } else {
        // Smaller types through the word that holds them.
        auto* const word = reinterpret_cast<unsigned*>(reinterpret_cast<uintptr_t>(slot) & ~uintptr_t{3});
        const unsigned shift = static_cast<unsigned>(reinterpret_cast<uintptr_t>(slot) & 3) * 8;
        constexpr unsigned kBits = sizeof(T) == 1 ? 0xffu : 0xffffu;
        unsigned seen = *word;
        for (;;) {
            T current;
            const auto bits =
                static_cast<std::conditional_t<sizeof(T) == 1, uint8_t, uint16_t>>(seen >> shift);
            memcpy(static_cast<void*>(&current), &bits, sizeof current);
            T sum;
            if constexpr (kIsHalf<T>) {
                sum = fromCompute<T>(toCompute(current) + toCompute(value));
            } else {
                sum = static_cast<T>(current + value);
            }
            std::conditional_t<sizeof(T) == 1, uint8_t, uint16_t> sumBits;
            memcpy(&sumBits, &sum, sizeof sum);
            const unsigned next = (seen & ~(kBits << shift)) | (static_cast<unsigned>(sumBits) << shift);
            const unsigned before = atomicCAS(word, seen, next);
            if (before == seen) return;
            seen = before;
        }
    }
}

enum class Mode { Read, Write, Add };

// For every place of `shape`: out[place] = in[place with `dim` from the index], or the other way round.
template <typename T, Mode mode>
__global__ void alongDim(T* picked, T* dense, Indices indices, Shape shape, Strides ofPicked, Strides ofDense,
                         Strides ofIndices, int dim, int64_t size, Faults faults) {
    for (int64_t i = globalThread(); i < shape.numel; i += globalThreads()) {
        int64_t rest = i, at = 0, there = 0, here = 0;
        for (int d = shape.dims - 1; d >= 0; d--) {
            const int64_t place = rest % shape.sizes[d];
            rest /= shape.sizes[d];
            at += place * ofIndices.steps[d];
            here += place * ofDense.steps[d];
            if (d != dim) there += place * ofPicked.steps[d];
        }
        int64_t index = indexAt(indices.dtype, indices.data, at);
        if (!inRange(index, size, dim, false, faults)) continue;
        T& slot = picked[there + index * ofPicked.steps[dim]];
        if constexpr (mode == Mode::Read) {
            dense[here] = slot;
        } else if constexpr (mode == Mode::Write) {
            slot = dense[here];
        } else {
            addTo(&slot, dense[here]);
        }
    }
}

template <typename T, Mode mode>
void launchAlongDim(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                    const View& indices, int dim) {
    const Shape shape(indices.sizes);
    if (shape.numel == 0) return;
    launch(alongDim<T, mode>, gridFor(shape.numel), runtime.stream(), picked.as<T>(), dense.as<T>(),
           Indices(indices), shape, Strides(picked), Strides(dense), Strides(indices), dim, picked.sizes[dim],
           runtime.faultsFor(op));
}

// Words of the elements' size, where they are only moved.
template <Mode mode>
void moveAlongDim(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                  const View& indices, int dim) {
    switch (dtypeSize(picked.dtype)) {
        case 1:
            return launchAlongDim<uint8_t, mode>(runtime, op, picked, dense, indices, dim);
        case 2:
            return launchAlongDim<uint16_t, mode>(runtime, op, picked, dense, indices, dim);
        case 4:
            return launchAlongDim<uint32_t, mode>(runtime, op, picked, dense, indices, dim);
        default:
            return launchAlongDim<uint64_t, mode>(runtime, op, picked, dense, indices, dim);
    }
}

// --- several dimensions

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
};

template <typename T, Mode mode>
__global__ void atPlaces(T* picked, T* dense, ListPlan plan, Faults faults) {
    const int64_t total = plan.places * plan.rest;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        int64_t place = i / plan.rest, rest = i % plan.rest, there = 0, here = 0;
        int64_t at[kMostIndexed] = {};
        for (int d = plan.shapeDims - 1; d >= 0; d--) {
            const int64_t step = place % plan.shape[d];
            place /= plan.shape[d];
            here += step * plan.denseSteps[d];
            for (int k = 0; k < plan.count; k++) at[k] += step * plan.indexSteps[k][d];
        }
        bool valid = true;
        for (int k = 0; k < plan.count && valid; k++) {
            int64_t index = indexAt(plan.indices[k].dtype, plan.indices[k].data, at[k]);
            valid = inRange(index, plan.pickedSizes[k], plan.start + k, plan.fromEnd, faults);
            there += index * plan.pickedSteps[k];
        }
        if (!valid) continue;
        for (int d = plan.restDims - 1; d >= 0; d--) {
            const int64_t step = rest % plan.restSizes[d];
            rest /= plan.restSizes[d];
            there += step * plan.restPicked[d];
            here += step * plan.restDense[d];
        }
        if constexpr (mode == Mode::Read) {
            dense[here] = picked[there];
        } else if constexpr (mode == Mode::Write) {
            picked[there] = dense[here];
        } else {
            addTo(picked + there, dense[here]);
        }
    }
}

template <typename T, Mode mode>
void launchAtPlaces(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                    const cpu::IndexList& list) {
    const ListPlan plan(picked, dense, list);
    if (plan.places * plan.rest == 0) return;
    launch(atPlaces<T, mode>, gridFor(plan.places * plan.rest), runtime.stream(), picked.as<T>(),
           dense.as<T>(), plan, runtime.faultsFor(op));
}

template <Mode mode>
void moveAtPlaces(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                  const cpu::IndexList& list) {
    switch (dtypeSize(picked.dtype)) {
        case 1:
            return launchAtPlaces<uint8_t, mode>(runtime, op, picked, dense, list);
        case 2:
            return launchAtPlaces<uint16_t, mode>(runtime, op, picked, dense, list);
        case 4:
            return launchAtPlaces<uint32_t, mode>(runtime, op, picked, dense, list);
        default:
            return launchAtPlaces<uint64_t, mode>(runtime, op, picked, dense, list);
    }
}

// Booleans add up to truth.
template <typename Body>
void dispatchAdding(DType dtype, const Body& body) {
    dispatchAll(dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        if constexpr (!std::is_same_v<T, bool>) body(tag);
    });
}

__global__ void setOnes(int64_t* out, const int64_t* labels, Shape shape, Strides strides, int64_t classes,
                        Faults faults) {
    for (int64_t i = globalThread(); i < shape.numel; i += globalThreads()) {
        int64_t rest = i, at = 0;
        for (int d = shape.dims - 1; d >= 0; d--) {
            at += rest % shape.sizes[d] * strides.steps[d];
            rest /= shape.sizes[d];
        }
        const int64_t label = labels[at];
        if (label < 0 || label >= classes) faults.simple(FaultKind::OneHotLabel, label, i, classes);
        for (int64_t c = 0; c < classes; c++) out[i * classes + c] = c == label ? 1 : 0;
    }
}

}  // namespace

void gather(Context& context, const View& out, const View& input, int dim, const View& indices) {
    submit(context, "gather", [=](CudaRuntime& runtime) {
        moveAlongDim<Mode::Read>(runtime, "gather", input, out, indices, dim);
    });
}

void scatter(Context& context, const View& target, int dim, const View& indices, const View& source) {
    submit(context, "scatter", [=](CudaRuntime& runtime) {
        moveAlongDim<Mode::Write>(runtime, "scatter", target, source, indices, dim);
    });
}

void scatterAdd(Context& context, const View& target, int dim, const View& indices, const View& source) {
    submit(context, "scatter_add", [=](CudaRuntime& runtime) {
        if (target.dtype == DType::Bool)  // what is true stays so, and what is added makes true
            return moveAlongDim<Mode::Write>(runtime, "scatter_add", target, source, indices, dim);
        dispatchAdding(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launchAlongDim<T, Mode::Add>(runtime, "scatter_add", target, source, indices, dim);
        });
    });
}

void oneHot(Context& context, const View& out, const View& indices) {
    submit(context, "one_hot", [=](CudaRuntime& runtime) {
        const Shape shape(indices.sizes);
        if (shape.numel == 0) return;
        launch(setOnes, gridFor(shape.numel), runtime.stream(), out.as<int64_t>(),
               indices.as<const int64_t>(), shape, Strides(indices), out.sizes[out.dims() - 1],
               runtime.faultsFor("one_hot"));
    });
}

void indexGet(Context& context, const View& out, const View& input, const cpu::IndexList& list) {
    submit(context, "index",
           [=](CudaRuntime& runtime) { moveAtPlaces<Mode::Read>(runtime, "index", input, out, list); });
}

void indexPut(Context& context, const View& target, const cpu::IndexList& list, const View& values,
              bool accumulate) {
    submit(context, "index_put", [=](CudaRuntime& runtime) {
        if (!accumulate || target.dtype == DType::Bool)
            return moveAtPlaces<Mode::Write>(runtime, "index_put", target, values, list);
        dispatchAdding(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launchAtPlaces<T, Mode::Add>(runtime, "index_put", target, values, list);
        });
    });
}

}  // namespace anneal::cuda
