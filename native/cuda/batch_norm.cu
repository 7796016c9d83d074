// Batch normalisation over rows of channels (channels-last pictures or [N, C] features), with its ReLU and
// residual sum. Training reads the input twice and writes once. Sums are taken relative to a row of their
// part and joined in double, in a fixed order, as on the processor.
#include "cuda/rows.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

// --- forward

// Of each part of the rows and channel: sums of x - k and of its square, where k is the part's first value.
template <typename T>
__global__ void sumSquares(const T* input, Rows size, double* sums, Compute<T>* shifts) {
    __shared__ double scratch[kRowThreads][kWarp];
    using C = Compute<T>;
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x, part = blockIdx.y;
    const int64_t begin = size.rows * part / gridDim.y, end = size.rows * (part + 1) / gridDim.y;
    const bool mine = channel < size.channels;
    const C shift = mine && begin < end ? toCompute(input[begin * size.channels + channel]) : C(0);
    LongSum<C> sum, square;
    for (int64_t row = begin + threadIdx.y; mine && row < end; row += kRowThreads) {
        const C d = toCompute(input[row * size.channels + channel]) - shift;
        sum.add(d);
        square.add(d * d);
    }
    sum.flush();
    square.flush();
    const double first = sumOverWarps(sum.total, scratch), second = sumOverWarps(square.total, scratch);
    if (mine && threadIdx.y == 0) {
        sums[(2 * part) * size.channels + channel] = first;
        sums[(2 * part + 1) * size.channels + channel] = second;
        shifts[part * size.channels + channel] = shift;
    }
}

template <typename C>
struct Affine {
    const C *weight, *bias;
    C *mean, *inverse, *scale;  // written
};

template <typename C>
__global__ void finishStatistics(Rows size, const double* sums, const C* shifts, int parts, Affine<C> affine,
                                 C* runningMean, C* runningVariance, double momentum, double epsilon) {
    for (int64_t c = globalThread(); c < size.channels; c += globalThreads()) {
        const auto count = [&](int64_t part) {
            return static_cast<double>(size.rows * (part + 1) / parts - size.rows * part / parts);
        };
        double mean = 0, variance = 0;
        for (int64_t p = 0; p < parts; p++)
            mean += count(p) * static_cast<double>(shifts[p * size.channels + c]) +
                    sums[2 * p * size.channels + c];
        mean /= static_cast<double>(size.rows);
        for (int64_t p = 0; p < parts; p++) {
            const double n = count(p);
            if (n == 0) continue;
            const double sum = sums[2 * p * size.channels + c],
                         square = sums[(2 * p + 1) * size.channels + c];
            const double apart = static_cast<double>(shifts[p * size.channels + c]) + sum / n - mean;
            const double within = square - sum * (sum / n);
            variance += (within < 0 ? 0 : within) + n * apart * apart;
        }
        variance /= static_cast<double>(size.rows);
        const C inverse = static_cast<C>(1 / std::sqrt(variance + epsilon));
        affine.mean[c] = static_cast<C>(mean);
        affine.inverse[c] = inverse;
        affine.scale[c] = affine.weight ? inverse * affine.weight[c] : inverse;
        if (runningMean) {
            const double unbiased =
                variance * static_cast<double>(size.rows) / static_cast<double>(size.rows - 1);
            runningMean[c] =
                static_cast<C>((1 - momentum) * static_cast<double>(runningMean[c]) + momentum * mean);
            runningVariance[c] = static_cast<C>((1 - momentum) * static_cast<double>(runningVariance[c]) +
                                                momentum * unbiased);
        }
    }
}

template <typename C>
__global__ void takeStatistics(int64_t channels, Affine<C> affine, const C* mean, const C* variance,
                               double epsilon) {
    for (int64_t c = globalThread(); c < channels; c += globalThreads()) {
        const C inverse = static_cast<C>(1 / std::sqrt(static_cast<double>(variance[c]) + epsilon));
        affine.mean[c] = mean[c];
        affine.inverse[c] = inverse;
        affine.scale[c] = affine.weight ? inverse * affine.weight[c] : inverse;
    }
}

// out = (x - mean) * scale + bias (+ residual), then ReLU.
template <typename T, int together>
__global__ void normalize(T* out, const T* input, const T* residual, Rows size, Affine<Compute<T>> affine,
                          bool relu) {
    using C = Compute<T>;
    const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x) * together;
    if (c >= size.channels) return;
    C mean[together], scale[together], bias[together];
#pragma unroll
    for (int k = 0; k < together; k++) {
        mean[k] = affine.mean[c + k];
        scale[k] = affine.scale[c + k];
        bias[k] = affine.bias ? affine.bias[c + k] : C(0);
    }
    const int64_t step = static_cast<int64_t>(gridDim.y) * kRowThreads;
    for (int64_t row = static_cast<int64_t>(blockIdx.y) * kRowThreads + threadIdx.y; row < size.rows;
         row += step) {
        const int64_t at = row * size.channels + c;
        const auto x = loadPack<T, together>(input + at);
        Pack<T, together> r = x, y;
        if (residual) r = loadPack<T, together>(residual + at);
#pragma unroll
        for (int k = 0; k < together; k++) {
            C value = (toCompute(x.values[k]) - mean[k]) * scale[k] + bias[k];
            if (residual) value += toCompute(r.values[k]);
            if (relu && value < 0) value = 0;
            y.values[k] = fromCompute<T>(value);
        }
        storePack(out + at, y);
    }
}

// --- backward

// Which gradients pass the ReLU: all, those where the output is positive, or those where the output, computed
// again from the input, is.
enum class Gate : int { Open, Output, Input };

template <typename T>
struct Gradients {
    using C = Compute<T>;
    const T *gradient = nullptr, *input = nullptr, *output = nullptr;
    T *gradInput = nullptr, *passed = nullptr;  // `passed` takes what went through an output's gate
    Rows size{};
    Gate gate = Gate::Open;
    const C *mean = nullptr, *inverse = nullptr, *weight = nullptr, *bias = nullptr;

    __device__ C scaleOf(int64_t c) const { return weight ? inverse[c] * weight[c] : inverse[c]; }
    __device__ C through(C value, C outputValue, C centered, C scale, C shift) const {
        if (gate == Gate::Output) return outputValue <= 0 ? C(0) : value;
        if (gate == Gate::Input) return centered * scale + shift <= 0 ? C(0) : value;
        return value;
    }
};

// Sums of the gradient and of its product with x - mean, for each part of the rows.
template <typename T>
__global__ void sumGradients(Gradients<T> g, double* sums) {
    __shared__ double scratch[kRowThreads][kWarp];
    using C = Compute<T>;
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x, part = blockIdx.y;
    const int64_t begin = g.size.rows * part / gridDim.y, end = g.size.rows * (part + 1) / gridDim.y;
    const bool mine = channel < g.size.channels;
    const C mean = mine ? g.mean[channel] : C(0), scale = mine ? g.scaleOf(channel) : C(0);
    const C shift = mine && g.bias ? g.bias[channel] : C(0);
    LongSum<C> sum, product;
    for (int64_t row = begin + threadIdx.y; mine && row < end; row += kRowThreads) {
        const int64_t at = row * g.size.channels + channel;
        const C centered = toCompute(g.input[at]) - mean;
        const C output = g.gate == Gate::Output ? toCompute(g.output[at]) : C(0);
        const C value = g.through(toCompute(g.gradient[at]), output, centered, scale, shift);
        if (g.gate == Gate::Output) g.passed[at] = fromCompute<T>(value);
        sum.add(value);
        product.add(value * centered);
    }
    sum.flush();
    product.flush();
    const double first = sumOverWarps(sum.total, scratch), second = sumOverWarps(product.total, scratch);
    if (mine && threadIdx.y == 0) {
        sums[(2 * part) * g.size.channels + channel] = first;
        sums[(2 * part + 1) * g.size.channels + channel] = second;
    }
}

template <typename C>
__global__ void finishGradients(Rows size, const double* sums, int parts, const C* inverse, C* slope,
                                C* offset, C* gradWeight, C* gradBias) {
    for (int64_t c = globalThread(); c < size.channels; c += globalThreads()) {
        double sum = 0, product = 0;
        for (int64_t p = 0; p < parts; p++) {
            sum += sums[2 * p * size.channels + c];
            product += sums[(2 * p + 1) * size.channels + c];
        }
        const double deviation = static_cast<double>(inverse[c]), share = 1 / static_cast<double>(size.rows);
        slope[c] = static_cast<C>(deviation * deviation * product * share);
        offset[c] = static_cast<C>(sum * share);
        if (gradWeight) {
            gradWeight[c] = static_cast<C>(product * deviation);
            gradBias[c] = static_cast<C>(sum);
        }
    }
}

// gradInput = (gradient - offset - (x - mean) * slope) * scale; without statistics the terms in between are
// left out.
template <typename T, int together>
__global__ void spreadGradients(Gradients<T> g, const Compute<T>* slope, const Compute<T>* offset) {
    using C = Compute<T>;
    const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x) * together;
    if (c >= g.size.channels) return;
    C mean[together], scale[together], shift[together], p[together], q[together];
#pragma unroll
    for (int k = 0; k < together; k++) {
        mean[k] = g.mean[c + k];
        scale[k] = g.scaleOf(c + k);
        shift[k] = g.bias ? g.bias[c + k] : C(0);
        p[k] = slope ? slope[c + k] : C(0);
        q[k] = slope ? offset[c + k] : C(0);
    }
    const int64_t step = static_cast<int64_t>(gridDim.y) * kRowThreads;
    for (int64_t row = static_cast<int64_t>(blockIdx.y) * kRowThreads + threadIdx.y; row < g.size.rows;
         row += step) {
        const int64_t at = row * g.size.channels + c;
        const auto gradient = loadPack<T, together>(g.gradient + at);
        Pack<T, together> x = gradient, y = gradient, result, passed;
        if (slope || g.gate == Gate::Input) x = loadPack<T, together>(g.input + at);
        if (g.gate == Gate::Output) y = loadPack<T, together>(g.output + at);
#pragma unroll
        for (int k = 0; k < together; k++) {
            const C centered = toCompute(x.values[k]) - mean[k];
            C value = g.through(toCompute(gradient.values[k]), toCompute(y.values[k]), centered, scale[k],
                                shift[k]);
            passed.values[k] = fromCompute<T>(value);
            if (slope) value = (value - q[k]) - centered * p[k];
            result.values[k] = fromCompute<T>(value * scale[k]);
        }
        if (g.gate == Gate::Output) storePack(g.passed + at, passed);
        storePack(g.gradInput + at, result);
    }
}

}  // namespace

void batchNorm(Context& context, const cpu::BatchNormForward& views, const cpu::BatchNormOptions& options) {
    const int64_t channels = views.input.sizes[1];
    if (channels == 0) return;
    const Rows size{views.input.numel() / channels, channels};
    dispatchFloating(views.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        constexpr int kTogether = 16 / sizeof(T);
        T* const out = views.out.as<T>();
        const T *const input = views.input.as<T>(), *const residual = dataOf<T>(views.residual);
        C *const runningMean = dataOf<C>(views.runningMean), *const runningVariance =
                                                                 dataOf<C>(views.runningVariance);
        const Grid parts = rowsGrid(size.rows, channels, 1, kSomeBlocks);
        const size_t count = options.training ? parts.blocks.y : 0;
        const Tensor scratch = context.scratch(static_cast<size_t>(channels) *
                                               (count * (2 * sizeof(double) + sizeof(C)) + sizeof(C)));
        auto* const sums = static_cast<double*>(scratch.data());
        C *const shifts = reinterpret_cast<C*>(sums + 2 * count * static_cast<size_t>(channels)),
                 *const scale = shifts + count * static_cast<size_t>(channels);
        const Affine<C> affine{dataOf<C>(views.weight), dataOf<C>(views.bias), views.mean.as<C>(),
                               views.inverseDeviation.as<C>(), scale};
        submit(context, "batchNorm", [=](CudaRuntime& runtime) {
            const cudaStream_t stream = runtime.stream();
            if (options.training) {
                launchTogether(sumSquares<T>, parts, stream, input, size, sums, shifts);
                launch(finishStatistics<C>, gridFor(channels), stream, size, static_cast<const double*>(sums),
                       static_cast<const C*>(shifts), static_cast<int>(parts.blocks.y), affine, runningMean,
                       runningVariance, options.momentum, options.epsilon);
            } else {
                launch(takeStatistics<C>, gridFor(channels), stream, channels, affine,
                       static_cast<const C*>(runningMean), static_cast<const C*>(runningVariance),
                       options.epsilon);
            }
            if (size.rows == 0) return;
            if (packable<T>(channels, out, input, residual)) {
                launch(normalize<T, kTogether>, rowsGrid(size.rows, channels, kTogether, kManyBlocks), stream,
                       out, input, residual, size, affine, options.relu);
            } else {
                launch(normalize<T, 1>, rowsGrid(size.rows, channels, 1, kManyBlocks), stream, out, input,
                       residual, size, affine, options.relu);
            }
        });
    });
}

void batchNormBackward(Context& context, const cpu::BatchNormBackward& views,
                       const cpu::BatchNormOptions& options) {
    const int64_t channels = views.input.sizes[1];
    if (channels == 0) return;
    const Rows size{views.input.numel() / channels, channels};
    dispatchFloating(views.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        constexpr int kTogether = 16 / sizeof(T);
        Gradients<T> g;
        g.gradient = views.gradOutput.as<T>();
        g.input = views.input.as<T>();
        g.output = dataOf<T>(views.output);
        g.gradInput = dataOf<T>(views.gradInput);
        g.passed = dataOf<T>(views.gradResidual);
        g.size = size;
        g.gate = !options.relu ? Gate::Open : g.output ? Gate::Output : Gate::Input;
        g.mean = views.mean.as<C>();
        g.inverse = views.inverseDeviation.as<C>();
        g.weight = dataOf<C>(views.weight);
        g.bias = dataOf<C>(views.bias);
        C *const gradWeight = dataOf<C>(views.gradWeight), *const gradBias = dataOf<C>(views.gradBias);
        const bool sumsNeeded = gradWeight || (options.training && g.gradInput) || !g.gradInput;
        const Grid parts = rowsGrid(size.rows, channels, 1, kSomeBlocks);
        const Tensor scratch = context.scratch(static_cast<size_t>(channels) *
                                               (parts.blocks.y * 2 * sizeof(double) + 2 * sizeof(C)));
        auto* const sums = static_cast<double*>(scratch.data());
        C *const slope = reinterpret_cast<C*>(sums + 2 * parts.blocks.y * static_cast<size_t>(channels)),
                 *const offset = slope + channels;
        submit(context, "batchNorm backward", [=](CudaRuntime& runtime) {
            const cudaStream_t stream = runtime.stream();
            Gradients<T> second = g;
            if (sumsNeeded) {
                launchTogether(sumGradients<T>, parts, stream, g, sums);
                launch(finishGradients<C>, gridFor(channels), stream, size, static_cast<const double*>(sums),
                       static_cast<int>(parts.blocks.y), g.inverse, slope, offset, gradWeight, gradBias);
                // What has passed an output's gate is written down by now.
                if (g.gate == Gate::Output) {
                    second.gradient = g.passed;
                    second.gate = Gate::Open;
                }
            }
            if (!g.gradInput || size.rows == 0) return;
            const C* const ofStatistics = options.training ? slope : nullptr;
            if (packable<T>(channels, second.gradient, g.input, g.output, g.gradInput, g.passed)) {
                launch(spreadGradients<T, kTogether>, rowsGrid(size.rows, channels, kTogether, kManyBlocks),
                       stream, second, ofStatistics, static_cast<const C*>(offset));
            } else {
                launch(spreadGradients<T, 1>, rowsGrid(size.rows, channels, 1, kManyBlocks), stream, second,
                       ofStatistics, static_cast<const C*>(offset));
            }
        });
    });
}

}  // namespace anneal::cuda
