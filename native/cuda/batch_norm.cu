// Batch normalisation over rows of channels (channels-last pictures or [N, C] features), with its ReLU and
// residual sum. Training reads the input twice and writes once. Sums are taken relative to a row of their
// part and joined in double, in a fixed order, as on the processor.
#include "cuda/rows.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

// Channels that a thread sums at a time; more of them would take too many registers.
template <typename T>
constexpr int kSummed = std::min(kWidest<T>, 4);

// --- forward

// Of each part of the rows and channel: sums of x - k and of its square, where k is the part's first value.
template <typename T, int together>
__global__ void sumSquares(const T* input, Rows size, double* sums, Compute<T>* shifts) {
    using C = Compute<T>;
    const int64_t part = blockIdx.y, first = size.rows * part / gridDim.y, c = firstChannel<together>();
    C shift[together] = {};
    if (c < size.channels && first < size.rows) loadPack(input + first * size.channels + c, shift);
    sumPart<2, together, C>(size, sums, [&](int64_t row, auto& sum) {
        C x[together];
        loadPack(input + row * size.channels + c, x);
#pragma unroll
        for (int k = 0; k < together; k++) {
            const C d = x[k] - shift[k];
            sum[0][k] += d;
            sum[1][k] += d * d;
        }
    });
    if (c >= size.channels || threadIdx.y != 0) return;
#pragma unroll
    for (int k = 0; k < together; k++) shifts[part * size.channels + c + k] = shift[k];
}

template <typename C>
struct Affine {
    const C *weight, *bias;
    C *mean, *inverse, *scale;  // written
};

template <typename C>
__global__ void finishStatistics(Rows size, const double* sums, const C* shifts, int parts, Affine<C> affine,
                                 C* runningMean, C* runningVariance, double momentum, double epsilon) {
    __shared__ double scratch[kThreads];
    const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    const double rows = static_cast<double>(size.rows);
    const auto countOf = [&](int64_t p) {
        return static_cast<double>(size.rows * (p + 1) / parts - size.rows * p / parts);
    };
    double mean = 0, squares = 0;
    for (int64_t p = threadIdx.y; c < size.channels && p < parts; p += blockDim.y)
        mean +=
            countOf(p) * static_cast<double>(shifts[p * size.channels + c]) + sums[2 * p * size.channels + c];
    mean = joinSlices(mean, scratch, Plus{}, true) / rows;
    for (int64_t p = threadIdx.y; c < size.channels && p < parts; p += blockDim.y) {
        const double n = countOf(p), sum = sums[2 * p * size.channels + c];
        if (n == 0) continue;
        const double mid = sum / n, within = sums[(2 * p + 1) * size.channels + c] - sum * mid;
        const double apart = static_cast<double>(shifts[p * size.channels + c]) + mid - mean;
        squares += (within < 0 ? 0 : within) + n * apart * apart;
    }
    squares = joinSlices(squares, scratch, Plus{});
    if (c >= size.channels || threadIdx.y != 0) return;
    const double variance = squares / rows;
    const C inverse = static_cast<C>(1 / std::sqrt(variance + epsilon));
    affine.mean[c] = static_cast<C>(mean);
    affine.inverse[c] = inverse;
    affine.scale[c] = affine.weight ? inverse * affine.weight[c] : inverse;
    if (!runningMean) return;
    const double unbiased = squares / (rows - 1);
    runningMean[c] = static_cast<C>((1 - momentum) * static_cast<double>(runningMean[c]) + momentum * mean);
    runningVariance[c] =
        static_cast<C>((1 - momentum) * static_cast<double>(runningVariance[c]) + momentum * unbiased);
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
    const int64_t c = firstChannel<together>();
    if (c >= size.channels) return;
    C mean[together], scale[together], bias[together];
#pragma unroll
    for (int k = 0; k < together; k++) {
        mean[k] = affine.mean[c + k];
        scale[k] = affine.scale[c + k];
        bias[k] = affine.bias ? affine.bias[c + k] : C(0);
    }
    const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.y;
    for (int64_t row = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < size.rows;
         row += step) {
        const int64_t at = row * size.channels + c;
        C x[together], r[together];
        loadPack(input + at, x);
        loadPackOr<together>(residual, at, C(0), r);
#pragma unroll
        for (int k = 0; k < together; k++) {
            C value = (x[k] - mean[k]) * scale[k] + bias[k];
            if (residual) value += r[k];
            x[k] = relu && value < 0 ? C(0) : value;
        }
        storePack(out + at, x);
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

    // Of the channels that a thread has: what centers them, and what they are scaled and shifted by.
    template <int together>
    __device__ void constants(int64_t c, C (&means)[together], C (&scales)[together],
                              C (&shifts)[together]) const {
#pragma unroll
        for (int k = 0; k < together; k++) {
            means[k] = mean[c + k];
            scales[k] = weight ? inverse[c + k] * weight[c + k] : inverse[c + k];
            shifts[k] = bias ? bias[c + k] : C(0);
        }
    }
    __device__ C through(C value, C outputValue, C centered, C scale, C shift) const {
        if (gate == Gate::Output) return outputValue <= 0 ? C(0) : value;
        if (gate == Gate::Input) return centered * scale + shift <= 0 ? C(0) : value;
        return value;
    }
};

// Sums of the gradient and of its product with x - mean, for each part of the rows.
template <typename T, int together>
__global__ void sumGradients(Gradients<T> g, double* sums) {
    using C = Compute<T>;
    const int64_t c = firstChannel<together>();
    C mean[together] = {}, scale[together] = {}, shift[together] = {};
    if (c < g.size.channels) g.constants(c, mean, scale, shift);
    sumPart<2, together, C>(g.size, sums, [&](int64_t row, auto& sum) {
        const int64_t at = row * g.size.channels + c;
        C values[together], centered[together], y[together] = {};
        loadPack(g.gradient + at, values);
        loadPack(g.input + at, centered);
        if (g.gate == Gate::Output) loadPack(g.output + at, y);
#pragma unroll
        for (int k = 0; k < together; k++) {
            centered[k] -= mean[k];
            values[k] = g.through(values[k], y[k], centered[k], scale[k], shift[k]);
            sum[0][k] += values[k];
            sum[1][k] += values[k] * centered[k];
        }
        if (g.gate == Gate::Output) storePack(g.passed + at, values);
    });
}

template <typename C>
__global__ void finishGradients(Rows size, const double* sums, int parts, const C* inverse, C* slope,
                                C* offset, C* gradWeight, C* gradBias) {
    __shared__ double scratch[kThreads];
    const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    double sum = 0, product = 0;
    for (int64_t p = threadIdx.y; c < size.channels && p < parts; p += blockDim.y) {
        sum += sums[2 * p * size.channels + c];
        product += sums[(2 * p + 1) * size.channels + c];
    }
    sum = joinSlices(sum, scratch, Plus{});
    product = joinSlices(product, scratch, Plus{});
    if (c >= size.channels || threadIdx.y != 0) return;
    const double deviation = static_cast<double>(inverse[c]), share = 1 / static_cast<double>(size.rows);
    slope[c] = static_cast<C>(deviation * deviation * product * share);
    offset[c] = static_cast<C>(sum * share);
    if (!gradWeight) return;
    gradWeight[c] = static_cast<C>(product * deviation);
    gradBias[c] = static_cast<C>(sum);
}

// gradInput = (gradient - offset - (x - mean) * slope) * scale; without statistics the terms in between are
// left out.
template <typename T, int together>
__global__ void spreadGradients(Gradients<T> g, const Compute<T>* slope, const Compute<T>* offset) {
    using C = Compute<T>;
    const int64_t c = firstChannel<together>();
    if (c >= g.size.channels) return;
    C mean[together], scale[together], shift[together], p[together], q[together];
    g.constants(c, mean, scale, shift);
#pragma unroll
    for (int k = 0; k < together; k++) {
        p[k] = slope ? slope[c + k] : C(0);
        q[k] = slope ? offset[c + k] : C(0);
    }
    const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.y;
    for (int64_t row = static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y; row < g.size.rows;
         row += step) {
        const int64_t at = row * g.size.channels + c;
        C values[together], x[together] = {}, y[together] = {};
        loadPack(g.gradient + at, values);
        if (slope || g.gate == Gate::Input) loadPack(g.input + at, x);
        if (g.gate == Gate::Output) loadPack(g.output + at, y);
#pragma unroll
        for (int k = 0; k < together; k++) {
            x[k] -= mean[k];
            values[k] = g.through(values[k], y[k], x[k], scale[k], shift[k]);
        }
        if (g.gate == Gate::Output) storePack(g.passed + at, values);
#pragma unroll
        for (int k = 0; k < together; k++) {
            if (slope) values[k] = (values[k] - q[k]) - x[k] * p[k];
            values[k] *= scale[k];
        }
        storePack(g.gradInput + at, values);
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
        T* const out = views.out.as<T>();
        const T *const input = views.input.as<T>(), *const residual = dataOf<T>(views.residual);
        C *const runningMean = dataOf<C>(views.runningMean), *const runningVariance =
                                                                 dataOf<C>(views.runningVariance);
        const int together = packable<T>(channels, kSummed<T>, input) ? kSummed<T> : 1;
        const Grid parts = rowsGrid(size.rows, channels, together, kSomeBlocks);
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
                launchTogether(together > 1 ? sumSquares<T, kSummed<T>> : sumSquares<T, 1>, parts, stream,
                               input, size, sums, shifts);
                launchTogether(finishStatistics<C>, joinGrid(channels, parts.blocks.y), stream, size,
                               static_cast<const double*>(sums), static_cast<const C*>(shifts),
                               static_cast<int>(parts.blocks.y), affine, runningMean, runningVariance,
                               options.momentum, options.epsilon);
            } else {
                launch(takeStatistics<C>, gridFor(channels), stream, channels, affine,
                       static_cast<const C*>(runningMean), static_cast<const C*>(runningVariance),
                       options.epsilon);
            }
            if (size.rows == 0) return;
            const bool packed = packable<T>(channels, kWidest<T>, out, input, residual);
            launch(packed ? normalize<T, kWidest<T>> : normalize<T, 1>,
                   rowsGrid(size.rows, channels, packed ? kWidest<T> : 1, kManyBlocks), stream, out, input,
                   residual, size, affine, options.relu);
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
        const bool summedPacked = packable<T>(channels, kSummed<T>, g.gradient, g.input, g.output, g.passed);
        const Grid parts = rowsGrid(size.rows, channels, summedPacked ? kSummed<T> : 1, kSomeBlocks);
        const Tensor scratch = context.scratch(static_cast<size_t>(channels) *
                                               (parts.blocks.y * 2 * sizeof(double) + 2 * sizeof(C)));
        auto* const sums = static_cast<double*>(scratch.data());
        C *const slope = reinterpret_cast<C*>(sums + 2 * parts.blocks.y * static_cast<size_t>(channels)),
                 *const offset = slope + channels;
        submit(context, "batchNorm backward", [=](CudaRuntime& runtime) {
            const cudaStream_t stream = runtime.stream();
            Gradients<T> second = g;
            if (sumsNeeded) {
                launchTogether(summedPacked ? sumGradients<T, kSummed<T>> : sumGradients<T, 1>, parts, stream,
                               g, sums);
                launchTogether(finishGradients<C>, joinGrid(channels, parts.blocks.y), stream, size,
                               static_cast<const double*>(sums), static_cast<int>(parts.blocks.y), g.inverse,
                               slope, offset, gradWeight, gradBias);
                // What has passed an output's gate is written down by now.
                if (g.gate == Gate::Output) {
                    second.gradient = g.passed;
                    second.gate = Gate::Open;
                }
            }
            if (!g.gradInput || size.rows == 0) return;
            const C* const ofStatistics = options.training ? slope : nullptr;
            const bool packed =
                packable<T>(channels, kWidest<T>, second.gradient, g.input, g.output, g.gradInput, g.passed);
            launch(packed ? spreadGradients<T, kWidest<T>> : spreadGradients<T, 1>,
                   rowsGrid(size.rows, channels, packed ? kWidest<T> : 1, kManyBlocks), stream, second,
                   ofStatistics, static_cast<const C*>(offset));
        });
    });
}

}  // namespace anneal::cuda
