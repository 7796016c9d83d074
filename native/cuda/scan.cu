// What runs along the lines of one dimension: sorting, running sums and products.
#include "cuda/collective.h"
#include "cuda/lines.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

// NaN counts as larger than everything, as in PyTorch.
template <typename C>
__device__ bool before(C a, C b, bool descending) {
    const bool nanA = a != a, nanB = b != b;
    if (nanA || nanB) return descending ? nanA && !nanB : nanB && !nanA;
    return descending ? a > b : a < b;
}

// --- sorting: bitonic networks over pairs of a value and its place, a power of two of them for each line

struct SortShape {
    int64_t padded;  // the line's length, up to a power of two
    int64_t length;
    bool descending;
};

// Places past the end sort behind everything; the place decides between equals, which makes the order stable.
template <typename C>
__device__ bool inOrder(C a, int32_t i, C b, int32_t j, const SortShape& shape) {
    if (i >= shape.length || j >= shape.length) return i < j;
    if (before(a, b, shape.descending)) return true;
    if (before(b, a, shape.descending)) return false;
    return i < j;
}

template <typename C>
__device__ void exchangeIfNeeded(C* values, int32_t* places, int64_t i, int64_t j, bool ascending,
                                 const SortShape& shape) {
    const C a = values[i], b = values[j];
    const int32_t p = places[i], q = places[j];
    if (inOrder(a, p, b, q, shape) == ascending) return;
    values[i] = b;
    values[j] = a;
    places[i] = q;
    places[j] = p;
}

template <typename C>
__device__ void sortStep(C* values, int32_t* places, int64_t pair, int64_t size, int64_t distance,
                         const SortShape& shape) {
    const int64_t i = pair / distance * 2 * distance + pair % distance;
    exchangeIfNeeded(values, places, i, i + distance, (i & size) == 0, shape);
}

template <typename T>
__device__ void writeSorted(T* values, int64_t* indices, const T* source, int64_t sourceStep,
                            const int32_t* places, const Lines& outValues, const Lines& outIndices,
                            int64_t line, int64_t i) {
    const int64_t place = places[i];
    values[outValues.base(line) + i * outValues.step] = source[place * sourceStep];
    indices[outIndices.base(line) + i * outIndices.step] = place;
}

// Where places lie behind `padded` keys: keys may be of one byte, and few.
template <typename C>
__host__ __device__ size_t placesAt(int64_t padded) {
    return (static_cast<size_t>(padded) * sizeof(C) + sizeof(int32_t) - 1) / sizeof(int32_t) *
           sizeof(int32_t);
}

// Lines that fit into the block's memory.
template <typename T>
__global__ void sortLines(T* values, int64_t* indices, const T* input, Lines in, Lines outValues,
                          Lines outIndices, SortShape shape, int64_t count) {
    using C = Compute<T>;
    C* const keys = sharedMemory<C>();
    int32_t* const places =
        reinterpret_cast<int32_t*>(reinterpret_cast<unsigned char*>(keys) + placesAt<C>(shape.padded));
    for (int64_t line = blockIdx.x; line < in.count; line += gridDim.x) {
        const T* const source = input + in.base(line);
        for (int64_t i = threadIdx.x; i < shape.padded; i += blockDim.x) {
            keys[i] = i < shape.length ? toCompute(source[i * in.step]) : C{};
            places[i] = static_cast<int32_t>(i);
        }
        __syncthreads();
        for (int64_t size = 2; size <= shape.padded; size *= 2) {
            for (int64_t distance = size / 2; distance > 0; distance /= 2) {
                for (int64_t pair = threadIdx.x; pair < shape.padded / 2; pair += blockDim.x)
                    sortStep(keys, places, pair, size, distance, shape);
                __syncthreads();
            }
        }
        for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
            writeSorted(values, indices, source, in.step, places, outValues, outIndices, line, i);
        __syncthreads();
    }
}

// Longer lines, in the device's memory: one kernel for each step of the network.
template <typename T>
__global__ void loadLines(Compute<T>* keys, int32_t* places, const T* input, Lines in, SortShape shape) {
    for (int64_t k = globalThread(); k < in.count * shape.padded; k += globalThreads()) {
        const int64_t line = k / shape.padded, i = k % shape.padded;
        keys[k] = i < shape.length ? toCompute(input[in.base(line) + i * in.step]) : Compute<T>{};
        places[k] = static_cast<int32_t>(i);
    }
}

template <typename C>
__global__ void sortStepOfAll(C* keys, int32_t* places, int64_t lines, SortShape shape, int64_t size,
                              int64_t distance) {
    const int64_t pairs = shape.padded / 2;
    for (int64_t k = globalThread(); k < lines * pairs; k += globalThreads()) {
        const int64_t start = k / pairs * shape.padded;
        sortStep(keys + start, places + start, k % pairs, size, distance, shape);
    }
}

template <typename T>
__global__ void storeLines(T* values, int64_t* indices, const T* input, const int32_t* places, Lines in,
                           Lines outValues, Lines outIndices, SortShape shape, int64_t count) {
    for (int64_t k = globalThread(); k < in.count * count; k += globalThreads()) {
        const int64_t line = k / count, i = k % count;
        writeSorted(values, indices, input + in.base(line), in.step, places + line * shape.padded, outValues,
                    outIndices, line, i);
    }
}

// --- running sums and products: a warp for each line, 32 elements at a time

struct ScanSum {
    template <typename A>
    __device__ A operator()(A a, A b) const {
        return a + b;
    }
};
struct ScanProduct {
    template <typename A>
    __device__ A operator()(A a, A b) const {
        return a * b;
    }
};

template <typename T, typename Join>
__global__ void scanLines(T* out, const T* input, Lines in, Lines target, bool reverse,
                          Accumulator<T> neutral, Join join) {
    using A = Accumulator<T>;
    const int lane = threadIdx.x % kWarp;
    const int64_t warps = globalThreads() / kWarp, rounds = (in.count + warps - 1) / warps;
    for (int64_t round = 0; round < rounds; round++) {
        const int64_t line = round * warps + globalThread() / kWarp;
        const bool mine = line < in.count;
        const T* const source = input + (mine ? in.base(line) : 0);
        T* const result = out + (mine ? target.base(line) : 0);
        A carried = neutral;
        for (int64_t first = 0; first < in.length; first += kWarp) {
            const int64_t k = first + lane;
            const bool inside = mine && k < in.length;
            const int64_t i = reverse ? in.length - 1 - k : k;
            A value = inside ? static_cast<A>(toCompute(source[i * in.step])) : neutral;
            for (int delta = 1; delta < kWarp; delta *= 2) {
                const A left = __shfl_up_sync(kAllLanes, value, delta);
                if (lane >= delta) value = join(left, value);
            }
            value = join(carried, value);
            if (inside) result[i * target.step] = convertTo<T, A>(value);
            carried = __shfl_sync(kAllLanes, value, kWarp - 1);
        }
    }
}

template <typename T>
__global__ void scanBackward(T* gradInput, const T* gradOutput, const T* input, const T* output, Lines target,
                             Lines gradient, Lines in, Lines out) {
    for (int64_t line = globalThread(); line < in.count; line += globalThreads()) {
        T* const result = gradInput + target.base(line);
        const T *const g = gradOutput + gradient.base(line), *const x = input + in.base(line);
        const T* const p = output + out.base(line);
        const auto value = [](T v) { return static_cast<double>(toCompute(v)); };
        int64_t zero = 0;
        while (zero < in.length && value(x[zero * in.step]) != 0) zero++;
        double total = 0;
        for (int64_t i = zero - 1; i >= 0; i--) {
            total += value(g[i * gradient.step]) * value(p[i * out.step]);
            result[i * target.step] = convertTo<T, double>(total / value(x[i * in.step]));
        }
        if (zero == in.length) continue;
        double product = zero > 0 ? value(p[(zero - 1) * out.step]) : 1;
        total = value(g[zero * gradient.step]) * product;
        for (int64_t j = zero + 1; j < in.length && product != 0; j++) {
            product *= value(x[j * in.step]);
            total += value(g[j * gradient.step]) * product;
        }
        result[zero * target.step] = convertTo<T, double>(total);
        for (int64_t j = zero + 1; j < in.length; j++) result[j * target.step] = convertTo<T, double>(0.0);
    }
}

template <typename Join>
void enqueueScan(Context& context, const char* op, const View& out, const View& input, int dim, bool reverse,
                 int neutral, Join join) {
    submit(context, op, [=](CudaRuntime& runtime) {
        const Lines in(input, dim), target(out, dim);
        if (in.count == 0 || in.length == 0) return;
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launchTogether(scanLines<T, Join>, warpsFor(in.count), runtime.stream(), out.as<T>(),
                           input.as<const T>(), in, target, reverse, static_cast<Accumulator<T>>(neutral),
                           join);
        });
    });
}

}  // namespace

void sort(Context& context, const View& values, const View& indices, const View& input, int dim,
          bool descending, int64_t count) {
    constexpr int64_t kInBlock = 2048;
    const Lines in(input, dim), outValues(values, dim), outIndices(indices, dim);
    CHECK_SHAPE(in.length < INT32_MAX, "sort: at most 2^31 elements in a line on CUDA, got ", in.length);
    SortShape shape{1, in.length, descending};
    while (shape.padded < in.length) shape.padded *= 2;
    const bool fits = shape.padded <= kInBlock;
    const size_t cells = fits ? 0 : static_cast<size_t>(in.count * shape.padded);
    const Tensor scratch = context.scratch(cells * (sizeof(double) + sizeof(int32_t)));
    submit(context, "sort", [=, memory = static_cast<char*>(scratch.data())](CudaRuntime& runtime) {
        if (in.count == 0 || in.length == 0) return;
        const cudaStream_t stream = runtime.stream();
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            if (fits) {
                const size_t bytes =
                    placesAt<C>(shape.padded) + static_cast<size_t>(shape.padded) * sizeof(int32_t);
                const int threads = static_cast<int>(std::clamp<int64_t>(shape.padded / 2, kWarp, kThreads));
                launchTogether(sortLines<T>, blocksFor(in.count, threads, bytes), stream, values.as<T>(),
                               indices.as<int64_t>(), input.as<const T>(), in, outValues, outIndices, shape,
                               count);
                return;
            }
            C* const keys = reinterpret_cast<C*>(memory);
            auto* const places = reinterpret_cast<int32_t*>(memory + cells * sizeof(double));
            const Grid grid = gridFor(static_cast<int64_t>(cells) / 2);
            launch(loadLines<T>, gridFor(static_cast<int64_t>(cells)), stream, keys, places,
                   input.as<const T>(), in, shape);
            for (int64_t size = 2; size <= shape.padded; size *= 2) {
                for (int64_t distance = size / 2; distance > 0; distance /= 2)
                    launch(sortStepOfAll<C>, grid, stream, keys, places, in.count, shape, size, distance);
            }
            launch(storeLines<T>, gridFor(in.count * count), stream, values.as<T>(), indices.as<int64_t>(),
                   input.as<const T>(), places, in, outValues, outIndices, shape, count);
        });
    });
}

void cumsum(Context& context, const View& out, const View& input, int dim, bool reverse) {
    enqueueScan(context, "cumsum", out, input, dim, reverse, 0, ScanSum{});
}

void cumprod(Context& context, const View& out, const View& input, int dim) {
    enqueueScan(context, "cumprod", out, input, dim, false, 1, ScanProduct{});
}

void cumprodBackward(Context& context, const View& gradInput, const View& gradOutput, const View& input,
                     const View& output, int dim) {
    submit(context, "cumprod_backward", [=](CudaRuntime& runtime) {
        const Lines target(gradInput, dim), gradient(gradOutput, dim), in(input, dim), out(output, dim);
        if (in.count == 0) return;
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launch(scanBackward<T>, gridFor(in.count), runtime.stream(), gradInput.as<T>(),
                   gradOutput.as<const T>(), input.as<const T>(), output.as<const T>(), target, gradient, in,
                   out);
        });
    });
}

}  // namespace anneal::cuda
