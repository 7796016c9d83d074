// Reading and writing at one index for each element.
#include "cuda/indices.h"

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

    explicit Strides(const Dims& given) {
        for (int i = 0; i < given.size(); i++) steps[i] = given[i];
    }
    explicit Strides(const View& view) : Strides(view.strides) {}
};

// For every place of `shape`: out[place] = in[place with `dim` from the index], or the other way round.
template <typename T, Mode mode>
__global__ void alongDim(T* picked, T* dense, Indices indices, Shape shape, Strides ofPicked, Strides ofDense,
                         Strides ofIndices, int dim, int64_t size, const Owner* owners, Strides ofOwners,
                         Faults faults) {
    for (int64_t i = globalThread(); i < shape.numel; i += globalThreads()) {
        int64_t rest = i, at = 0, there = 0, here = 0, owner = 0;
        for (int d = shape.dims - 1; d >= 0; d--) {
            const int64_t place = rest % shape.sizes[d];
            rest /= shape.sizes[d];
            at += place * ofIndices.steps[d];
            here += place * ofDense.steps[d];
            if (d == dim) continue;
            there += place * ofPicked.steps[d];
            if constexpr (mode == Mode::Write) owner += place * ofOwners.steps[d];
        }
        int64_t index = indexAt(indices.dtype, indices.data, at);
        if (!inRange(index, size, dim, false, faults)) continue;
        if constexpr (mode == Mode::Write) {
            if (!ownsPlace(owners ? owners + owner + index * ofOwners.steps[dim] : nullptr, i)) continue;
        }
        moveElement<mode>(picked[there + index * ofPicked.steps[dim]], dense[here]);
    }
}

__global__ void claimAlongDim(Owner* owners, Strides ofOwners, Indices indices, Shape shape,
                              Strides ofIndices, int dim, int64_t size, Faults faults) {
    for (int64_t i = globalThread(); i < shape.numel; i += globalThreads()) {
        int64_t rest = i, at = 0, owner = 0;
        for (int d = shape.dims - 1; d >= 0; d--) {
            const int64_t place = rest % shape.sizes[d];
            rest /= shape.sizes[d];
            at += place * ofIndices.steps[d];
            if (d != dim) owner += place * ofOwners.steps[d];
        }
        int64_t index = indexAt(indices.dtype, indices.data, at);
        if (inRange(index, size, dim, false, faults))
            claimPlace(owners + owner + index * ofOwners.steps[dim], i);
    }
}

// `memory`: an owner for each element of `picked`, where Mode::Write needs them.
template <typename T, Mode mode>
void launchAlongDim(CudaRuntime& runtime, const char* op, const View& picked, const View& dense,
                    const View& indices, int dim, void* memory = nullptr) {
    const Shape shape(indices.sizes);
    if (shape.numel == 0) return;
    const Grid grid = gridFor(shape.numel);
    const int64_t size = picked.sizes[dim];
    const Strides ofIndices(indices), ofOwners(contiguousStrides(picked.sizes));
    Owner* const owners = memory ? clearOwners(runtime, memory, picked.numel()) : nullptr;
    if (owners)
        launch(claimAlongDim, grid, runtime.stream(), owners, ofOwners, Indices(indices), shape, ofIndices,
               dim, size, runtime.faultsFor(op));
    launch(alongDim<T, mode>, grid, runtime.stream(), picked.as<T>(), dense.as<T>(), Indices(indices), shape,
           Strides(picked), Strides(dense), ofIndices, dim, size, static_cast<const Owner*>(owners), ofOwners,
           runtime.faultsFor(op));
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
        dispatchSize(out.dtype, [&](auto word) {
            launchAlongDim<decltype(word), Mode::Read>(runtime, "gather", input, out, indices, dim);
        });
    });
}

void scatter(Context& context, const View& target, int dim, const View& indices, const View& source) {
    // Only along `dim` can two meet in one place.
    const bool contested = indices.sizes[dim] > 1 && source.strides[dim] != 0;
    const Tensor scratch =
        context.scratch(contested ? static_cast<size_t>(target.numel()) * sizeof(Owner) : 0);
    submit(context, "scatter", [=, memory = contested ? scratch.data() : nullptr](CudaRuntime& runtime) {
        dispatchSize(target.dtype, [&](auto word) {
            launchAlongDim<decltype(word), Mode::Write>(runtime, "scatter", target, source, indices, dim,
                                                        memory);
        });
    });
}

void scatterAdd(Context& context, const View& target, int dim, const View& indices, const View& source) {
    submit(context, "scatter_add", [=](CudaRuntime& runtime) {
        if (target.dtype == DType::Bool)
            return launchAlongDim<uint8_t, Mode::Or>(runtime, "scatter_add", target, source, indices, dim);
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

}  // namespace anneal::cuda
