// Reductions over any set of dimensions. Three ways: a block for each output, where outputs are few or their
// elements lie together; several blocks for each of few large ones, joined by a second kernel; and a thread
// for each output, where neighbouring outputs are neighbours in memory. Orders of addition are fixed.
#include "cuda/collective.h"
#include "cuda/submit.h"

#include <vector>

namespace anneal::cuda {

namespace {

// What a reduction is told beside its input.
struct Settings {
    double divisor = 1;     // of a mean
    double correction = 0;  // of a variance: elements minus this
    // The larger of two values is taken; all must be true. At run time, since each kernel takes long to
    // compile.
    bool largest = false, all = false;
};

template <typename A>
struct SumState {
    A value{};
    __device__ explicit SumState(const Settings&) {}
    __device__ void add(A x, const Settings&) { value += x; }
    __device__ void merge(const SumState& other, const Settings&) { value += other.value; }
};

template <typename A>
struct ProductState {
    A value{1};
    __device__ explicit ProductState(const Settings&) {}
    __device__ void add(A x, const Settings&) { value *= x; }
    __device__ void merge(const ProductState& other, const Settings&) { value *= other.value; }
};

template <typename A>
struct ExtremeState {
    A value{};
    int any = 0;
    __device__ explicit ExtremeState(const Settings&) {}
    __device__ void add(A x, const Settings& settings) {
        if (!any || x != x || (value == value && (settings.largest ? x > value : x < value))) value = x;
        any = 1;
    }
    __device__ void merge(const ExtremeState& other, const Settings& settings) {
        if (other.any) add(other.value, settings);
    }
};

template <typename A>
struct TruthState {
    A value;
    __device__ explicit TruthState(const Settings& settings) : value(settings.all ? 1 : 0) {}
    __device__ void add(A x, const Settings& settings) {
        const bool before = value != A{}, now = x != A{};
        value = settings.all ? before && now : before || now;
    }
    __device__ void merge(const TruthState& other, const Settings& settings) { add(other.value, settings); }
};

// Welford's update and Chan's merge, as on the processor.
template <typename A>
struct VarianceState {
    double mean = 0, squares = 0, count = 0;
    __device__ explicit VarianceState(const Settings&) {}
    __device__ void add(A x, const Settings&) {
        count += 1;
        const double delta = static_cast<double>(x) - mean;
        mean += delta / count;
        squares += delta * (static_cast<double>(x) - mean);
    }
    __device__ void merge(const VarianceState& other, const Settings&) {
        if (other.count == 0) return;
        const double total = count + other.count, delta = other.mean - mean;
        squares += other.squares + delta * delta * count * other.count / total;
        mean += delta * other.count / total;
        count = total;
    }
};

template <typename State>
__device__ State fromLane(const State& state, int bits) {
    static_assert(sizeof(State) % 8 == 0 && sizeof(State) <= 32);
    State result = state;
    double words[sizeof(State) / 8];
    memcpy(words, &state, sizeof state);
#pragma unroll
    for (size_t i = 0; i < sizeof(State) / 8; i++) words[i] = __shfl_xor_sync(kAllLanes, words[i], bits);
    memcpy(&result, words, sizeof state);
    return result;
}

// The same state for all threads of the block; `scratch` holds one for each warp.
template <typename State>
__device__ State joinBlock(State state, State* scratch, const Settings& settings) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    for (int bits = 1; bits < kWarp; bits *= 2) {
        const State other = fromLane(state, bits);
        // Lower lanes first, whoever asks: both sides must come to the same bits.
        State first = lane & bits ? other : state;
        first.merge(lane & bits ? state : other, settings);
        state = first;
    }
    if (lane == 0) scratch[warp] = state;
    __syncthreads();
    state = scratch[0];
    for (unsigned i = 1; i < blockDim.x / kWarp; i++) state.merge(scratch[i], settings);
    __syncthreads();
    return state;
}

struct Axes {
    int count = 0;
    int64_t sizes[kMaxDims], in[kMaxDims], out[kMaxDims];

    void append(int64_t size, int64_t inStep, int64_t outStep) {
        if (count > 0 && inStep == in[count - 1] * sizes[count - 1] &&
            outStep == out[count - 1] * sizes[count - 1]) {
            sizes[count - 1] *= size;
            return;
        }
        sizes[count] = size;
        in[count] = inStep;
        out[count] = outStep;
        count++;
    }
    __device__ int64_t inOffset(int64_t index) const {
        int64_t offset = 0;
#pragma unroll 1
        for (int k = 0; k < count; k++) {
            const int64_t place = k + 1 < count ? index % sizes[k] : index;
            index /= sizes[k];
            offset += place * in[k];
        }
        return offset;
    }
    __device__ int64_t outOffset(int64_t index) const {
        int64_t offset = 0;
#pragma unroll 1
        for (int k = 0; k < count; k++) {
            const int64_t place = k + 1 < count ? index % sizes[k] : index;
            index /= sizes[k];
            offset += place * out[k];
        }
        return offset;
    }
};

// The input's dimensions, innermost in memory first, split into those that stay and those that are reduced.
struct ReducePlan {
    Axes kept, reduced;
    int64_t outputs = 1, inputs = 1;
    bool innerIsKept = false;

    ReducePlan(const View& out, const View& input) {
        std::vector<int> order;
        for (int i = input.dims() - 1; i >= 0; i--) {
            if (input.sizes[i] != 1) order.push_back(i);
        }
        std::stable_sort(order.begin(), order.end(),
                         [&](int a, int b) { return input.strides[a] < input.strides[b]; });
        bool first = true;
        for (int i : order) {
            const bool isReduced = out.sizes[i] == 1;
            if (first) innerIsKept = !isReduced;
            first = false;
            if (isReduced) {
                reduced.append(input.sizes[i], input.strides[i], 0);
                inputs *= input.sizes[i];
            } else {
                kept.append(input.sizes[i], input.strides[i], out.strides[i]);
                outputs *= input.sizes[i];
            }
        }
    }
};

// What becomes of a finished state.
template <typename Out, typename A>
__device__ Out resultOf(const SumState<A>& state, const Settings& settings) {
    if (settings.divisor != 1)
        return convertTo<Out, double>(static_cast<double>(state.value) / settings.divisor);
    return convertTo<Out, A>(state.value);
}
template <typename Out, typename A>
__device__ Out resultOf(const VarianceState<A>& state, const Settings& settings) {
    return convertTo<Out, double>(state.squares / settings.correction);
}
template <typename Out, typename State>
__device__ Out resultOf(const State& state, const Settings&) {
    return convertTo<Out, std::decay_t<decltype(state.value)>>(state.value);
}

template <typename T>
__device__ Accumulator<T> element(const T* input, int64_t offset) {
    return static_cast<Accumulator<T>>(toCompute(input[offset]));
}

// Blocks (output, part): the elements [part, part + 1) / parts of the output's. One part writes the output at
// once.
template <typename State, typename Out, typename T>
__global__ void reduceByBlock(Out* out, const T* input, ReducePlan plan, Settings settings, State* partial,
                              int parts) {
    State* const scratch = sharedMemory<State>();
    for (int64_t task = blockIdx.x; task < plan.outputs * parts; task += gridDim.x) {
        const int64_t output = task / parts, part = task % parts;
        const int64_t begin = plan.inputs * part / parts, end = plan.inputs * (part + 1) / parts;
        const int64_t base = plan.kept.inOffset(output);
        State state(settings);
        for (int64_t i = begin + threadIdx.x; i < end; i += blockDim.x)
            state.add(element(input, base + plan.reduced.inOffset(i)), settings);
        state = joinBlock(state, scratch, settings);
        if (threadIdx.x == 0) {
            if (parts > 1) {
                partial[task] = state;
            } else {
                out[plan.kept.outOffset(output)] = resultOf<Out>(state, settings);
            }
        }
    }
}

template <typename State, typename Out>
__global__ void joinParts(Out* out, ReducePlan plan, Settings settings, const State* partial, int parts) {
    for (int64_t output = globalThread(); output < plan.outputs; output += globalThreads()) {
        State state = partial[output * parts];
        for (int part = 1; part < parts; part++) state.merge(partial[output * parts + part], settings);
        out[plan.kept.outOffset(output)] = resultOf<Out>(state, settings);
    }
}

// Threads (output, part): neighbours read neighbours.
template <typename State, typename Out, typename T>
__global__ void reduceByThread(Out* out, const T* input, ReducePlan plan, Settings settings, State* partial,
                               int parts) {
    for (int64_t task = globalThread(); task < plan.outputs * parts; task += globalThreads()) {
        const int64_t output = task % plan.outputs, part = task / plan.outputs;
        const int64_t begin = plan.inputs * part / parts, end = plan.inputs * (part + 1) / parts;
        const T* const source = input + plan.kept.inOffset(output);
        State state(settings);
        if (plan.reduced.count == 1) {
            const int64_t step = plan.reduced.in[0];
            for (int64_t i = begin; i < end; i++) state.add(element(source, i * step), settings);
        } else {
            for (int64_t i = begin; i < end; i++)
                state.add(element(source, plan.reduced.inOffset(i)), settings);
        }
        if (parts > 1) {
            partial[output * parts + part] = state;
        } else {
            out[plan.kept.outOffset(output)] = resultOf<Out>(state, settings);
        }
    }
}

constexpr int64_t kWanted = 132 * 4;  // blocks that keep a large GPU busy

template <typename State, typename Out, typename T>
void enqueueReduction(Context& context, const char* op, const View& out, const View& input,
                      const Settings& settings) {
    const ReducePlan plan(out, input);
    if (plan.outputs == 0) return;
    const bool byThread = plan.innerIsKept && plan.inputs > 0;
    // Parts: enough to fill the GPU, of at least 512 elements.
    const int64_t tasks = byThread ? (plan.outputs + kThreads - 1) / kThreads : plan.outputs;
    const int64_t most = byThread ? plan.inputs / 32 : plan.inputs / 4096;
    const int parts = static_cast<int>(std::clamp<int64_t>(kWanted / tasks, 1, std::max<int64_t>(most, 1)));
    const Tensor scratch =
        context.scratch(parts > 1 ? sizeof(State) * static_cast<size_t>(plan.outputs) * parts : 0);
    auto* const partial = static_cast<State*>(scratch.data());
    submit(context, op, [=](CudaRuntime& runtime) {
        if (byThread) {
            launch(reduceByThread<State, Out, T>, gridFor(plan.outputs * parts), runtime.stream(),
                   out.as<Out>(), input.as<const T>(), plan, settings, partial, parts);
        } else {
            launchTogether(reduceByBlock<State, Out, T>,
                           blocksFor(plan.outputs * parts, kThreads, sizeof(State) * (kThreads / kWarp)),
                           runtime.stream(), out.as<Out>(), input.as<const T>(), plan, settings, partial,
                           parts);
        }
        if (parts > 1) {
            launch(joinParts<State, Out>, gridFor(plan.outputs), runtime.stream(), out.as<Out>(), plan,
                   settings, partial, parts);
        }
    });
}

}  // namespace

void reduce(Context& context, cpu::Reduction kind, const View& out, const View& input) {
    dispatchAll(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using A = Accumulator<T>;
        using Total = std::conditional_t<std::is_floating_point_v<Compute<T>>, T, int64_t>;
        Settings settings;
        settings.largest = kind == cpu::Reduction::Max;
        settings.all = kind == cpu::Reduction::All;
        switch (kind) {
            case cpu::Reduction::Mean:
                settings.divisor = static_cast<double>(input.numel()) /
                                   static_cast<double>(std::max<int64_t>(out.numel(), 1));
                if constexpr (std::is_floating_point_v<Compute<T>>)
                    enqueueReduction<SumState<A>, T, T>(context, "reduce", out, input, settings);
                return;
            case cpu::Reduction::Sum:
                return enqueueReduction<SumState<A>, Total, T>(context, "reduce", out, input, settings);
            case cpu::Reduction::Prod:
                return enqueueReduction<ProductState<A>, Total, T>(context, "reduce", out, input, settings);
            case cpu::Reduction::Max:
            case cpu::Reduction::Min:
                return enqueueReduction<ExtremeState<A>, T, T>(context, "reduce", out, input, settings);
            case cpu::Reduction::Any:
            case cpu::Reduction::All:
                return enqueueReduction<TruthState<A>, bool, T>(context, "reduce", out, input, settings);
        }
    });
}

void variance(Context& context, const View& out, const View& input, double correction) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        const double count =
            static_cast<double>(input.numel()) / static_cast<double>(std::max<int64_t>(out.numel(), 1));
        Settings settings;
        settings.correction = std::max(count - correction, 0.0);
        enqueueReduction<VarianceState<Accumulator<T>>, T, T>(context, "var", out, input, settings);
    });
}

}  // namespace anneal::cuda
