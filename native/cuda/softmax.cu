// Softmax over the middle dimension of dense memory [outer, size, inner]. With inner = 1 a team of threads
// takes each row; otherwise neighbouring threads take neighbouring columns.
#include "cuda/softmax_rows.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

template <typename Team, int kPack, bool logarithm, typename T>
__global__ void softmaxOfRows(T* out, const T* input, int64_t rows, int64_t size, int width) {
    using C = Compute<T>;
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T* const x = input + row * size;
        T* const y = out + row * size;
        const C largest = maxOfRow<kPack>(team, x);
        const C sum = sumOfExponentials<kPack>(team, x, largest);
        const C rest = logarithm ? std::log(sum) : 1 / sum;
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack];
            loadPack(x + i, values);
#pragma unroll
            for (int k = 0; k < kPack; k++) {
                const C shifted = values[k] - largest;
                values[k] = logarithm ? shifted - rest : std::exp(shifted) * rest;
            }
            storePack(y + i, values);
        });
    });
}

// softmax: y (g - sum(g y)); its logarithm: g - exp(y) sum(g).
template <bool logarithm, typename C>
__device__ C weighed(C g, C y) {
    return logarithm ? g : g * y;
}
template <bool logarithm, typename C>
__device__ C combined(C g, C y, C sum) {
    return logarithm ? g - std::exp(y) * sum : y * (g - sum);
}

template <typename Team, int kPack, bool logarithm, typename T>
__global__ void softmaxBackwardOfRows(T* gradInput, const T* gradient, const T* output, int64_t rows,
                                      int64_t size, int width) {
    using C = Compute<T>;
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T *const g = gradient + row * size, *const y = output + row * size;
        C sum = 0;
        forPacks<kPack>(team, [&](int64_t i) {
            C gs[kPack], ys[kPack];
            loadPack(g + i, gs);
            loadPack(y + i, ys);
#pragma unroll
            for (int k = 0; k < kPack; k++) sum += weighed<logarithm>(gs[k], ys[k]);
        });
        sum = sumOverTeam(team, sum);
        forPacks<kPack>(team, [&](int64_t i) {
            C gs[kPack], ys[kPack];
            loadPack(g + i, gs);
            loadPack(y + i, ys);
#pragma unroll
            for (int k = 0; k < kPack; k++) gs[k] = combined<logarithm>(gs[k], ys[k], sum);
            storePack(gradInput + row * size + i, gs);
        });
    });
}

// --- across rows: threads (column, slice) of blockDim.x columns; the slices of a column share its elements

// The same value for all slices of a column.
template <typename C, typename Merge>
__device__ C reduceSlices(C value, const Merge& merge) {
    if (blockDim.y == 1) return value;
    C* const scratch = sharedMemory<C>();
    scratch[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    value = scratch[threadIdx.x];
    for (unsigned slice = 1; slice < blockDim.y; slice++)
        value = merge(value, scratch[slice * blockDim.x + threadIdx.x]);
    __syncthreads();
    return value;
}

// body(offset of the column's first element, its elements, which are none for threads past the last column)
template <typename Body>
__device__ void forColumns(const cpu::SoftmaxShape& shape, const Body& body) {
    const int64_t columns = shape.outer * shape.inner;
    for (int64_t first = static_cast<int64_t>(blockIdx.x) * blockDim.x; first < columns;
         first += static_cast<int64_t>(gridDim.x) * blockDim.x) {
        const int64_t column = first + threadIdx.x;
        const int64_t start = column / shape.inner * shape.size * shape.inner + column % shape.inner;
        body(start, column < columns ? shape.size : 0);
    }
}

template <bool logarithm, typename T>
__global__ void softmaxOfColumns(T* out, const T* input, cpu::SoftmaxShape shape) {
    using C = Compute<T>;
    const int64_t step = shape.inner, slices = blockDim.y;
    forColumns(shape, [&](int64_t start, int64_t size) {
        const T* const x = input + start;
        C largest = -std::numeric_limits<C>::infinity();
        for (int64_t i = threadIdx.y; i < size; i += slices)
            largest = Larger{}(toCompute(x[i * step]), largest);
        largest = reduceSlices(largest, Larger{});
        C sum = 0;
        for (int64_t i = threadIdx.y; i < size; i += slices)
            sum += std::exp(toCompute(x[i * step]) - largest);
        sum = reduceSlices(sum, Plus{});
        const C rest = logarithm ? std::log(sum) : 1 / sum;
        for (int64_t i = threadIdx.y; i < size; i += slices) {
            const C shifted = toCompute(x[i * step]) - largest;
            out[start + i * step] = fromCompute<T>(logarithm ? shifted - rest : std::exp(shifted) * rest);
        }
    });
}

template <bool logarithm, typename T>
__global__ void softmaxBackwardOfColumns(T* gradInput, const T* gradient, const T* output,
                                         cpu::SoftmaxShape shape) {
    using C = Compute<T>;
    const int64_t step = shape.inner, slices = blockDim.y;
    forColumns(shape, [&](int64_t start, int64_t size) {
        const T *const g = gradient + start, *const y = output + start;
        C sum = 0;
        for (int64_t i = threadIdx.y; i < size; i += slices)
            sum += weighed<logarithm>(toCompute(g[i * step]), toCompute(y[i * step]));
        sum = reduceSlices(sum, Plus{});
        for (int64_t i = threadIdx.y; i < size; i += slices)
            gradInput[start + i * step] =
                fromCompute<T>(combined<logarithm>(toCompute(g[i * step]), toCompute(y[i * step]), sum));
    });
}

// As many slices as it takes to keep a large GPU busy, of at least four elements.
Grid columnGrid(const cpu::SoftmaxShape& shape, size_t bytes) {
    const int64_t columns = shape.outer * shape.inner;
    unsigned slices = 1;
    while (slices < 32 && columns * slices < (int64_t{1} << 17) && shape.size >= int64_t{slices} * 8)
        slices *= 2;
    const unsigned wide = kThreads / slices;
    Grid grid = gridFor(columns, static_cast<int>(wide));
    grid.threads = dim3(wide, slices);
    grid.sharedBytes = slices > 1 ? kThreads * bytes : 0;
    return grid;
}

template <bool logarithm, typename T>
void forward(CudaRuntime& runtime, T* out, const T* input, const cpu::SoftmaxShape& shape) {
    if (shape.inner != 1) {
        return launchTogether(softmaxOfColumns<logarithm, T>, columnGrid(shape, sizeof(Compute<T>)),
                              runtime.stream(), out, input, shape);
    }
    withPacks<T>(shape.size, {out, input}, [&](auto pack) {
        constexpr int kPack = decltype(pack)::value;
        const RowPlan plan(shape.outer, shape.size / kPack);
        withTeam(plan, [&](auto team) {
            using Team = typename decltype(team)::type;
            launchTogether(softmaxOfRows<Team, kPack, logarithm, T>, plan.grid, runtime.stream(), out, input,
                           shape.outer, shape.size, plan.width);
        });
    });
}

template <bool logarithm, typename T>
void backward(CudaRuntime& runtime, T* gradInput, const T* gradient, const T* output,
              const cpu::SoftmaxShape& shape) {
    if (shape.inner != 1) {
        return launchTogether(softmaxBackwardOfColumns<logarithm, T>, columnGrid(shape, sizeof(Compute<T>)),
                              runtime.stream(), gradInput, gradient, output, shape);
    }
    withPacks<T>(shape.size, {gradInput, gradient, output}, [&](auto pack) {
        constexpr int kPack = decltype(pack)::value;
        const RowPlan plan(shape.outer, shape.size / kPack);
        withTeam(plan, [&](auto team) {
            using Team = typename decltype(team)::type;
            launchTogether(softmaxBackwardOfRows<Team, kPack, logarithm, T>, plan.grid, runtime.stream(),
                           gradInput, gradient, output, shape.outer, shape.size, plan.width);
        });
    });
}

}  // namespace

void softmax(Context& context, const View& out, const View& input, const cpu::SoftmaxShape& shape,
             bool logarithm) {
    if (shape.size == 0) return;
    submit(context, logarithm ? "logSoftmax" : "softmax", [=](CudaRuntime& runtime) {
        dispatchFloating(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if (logarithm) {
                forward<true>(runtime, out.as<T>(), input.as<const T>(), shape);
            } else {
                forward<false>(runtime, out.as<T>(), input.as<const T>(), shape);
            }
        });
    });
}

void softmaxBackward(Context& context, const View& gradInput, const View& gradient, const View& output,
                     const cpu::SoftmaxShape& shape, bool logarithm) {
    if (shape.size == 0) return;
    submit(context, logarithm ? "logSoftmax backward" : "softmax backward", [=](CudaRuntime& runtime) {
        dispatchFloating(gradInput.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            T* const target = gradInput.as<T>();
            const T *const g = gradient.as<const T>(), *const y = output.as<const T>();
            if (logarithm) {
                backward<true>(runtime, target, g, y, shape);
            } else {
                backward<false>(runtime, target, g, y, shape);
            }
        });
    });
}

}  // namespace anneal::cuda
