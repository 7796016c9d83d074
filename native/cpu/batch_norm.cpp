#include <cmath>

#include "cpu/kernels.h"
#include "cpu/rows.h"

// Batch normalisation over rows of channels (channels-last pictures or [N, C] features). Training reads the
// input twice and writes once; the ReLU and the residual sum ride along. Statistics are summed in float over
// short blocks, relative to a row of their chunk, and in double beyond: a large mean costs no accuracy, and
// the order of additions is fixed.
namespace anneal::cpu {

using namespace simd;

namespace {

// Mean and variance (of the population) from the chunks' sums.
template <typename C>
void combineMoments(int64_t rows, const Chunks& chunks, const ChunkSums& sums, const C* shifts, double* mean,
                    double* variance) {
    const int64_t channels = sums.channels;
    std::fill(mean, mean + channels, 0.0);
    std::fill(variance, variance + channels, 0.0);
    const auto forChunks = [&](const auto& body) {
        for (int64_t chunk = 0; chunk < chunks.count; chunk++) {
            const auto count = static_cast<double>(chunks.size(chunk));
            body(shifts + chunk * channels, count, 1 / count, sums.first(chunk), sums.second(chunk));
        }
    };
    forChunks([&](const C* shift, double count, double, const double* sum, const double*) {
        for (int64_t c = 0; c < channels; c++) mean[c] += count * shift[c] + sum[c];
    });
    for (int64_t c = 0; c < channels; c++) mean[c] /= static_cast<double>(rows);
    forChunks([&](const C* shift, double count, double inverse, const double* sum, const double* square) {
        for (int64_t c = 0; c < channels; c++) {
            const double chunkMean = sum[c] * inverse, apart = shift[c] + chunkMean - mean[c];
            const double within = square[c] - sum[c] * chunkMean;
            variance[c] += (within < 0 ? 0 : within) + count * apart * apart;
        }
    });
    for (int64_t c = 0; c < channels; c++) variance[c] /= static_cast<double>(rows);
}

// out = (x - mean) * scale + bias (+ residual), then ReLU.
template <typename T, bool withResidual, bool withRelu>
void normalize(T* out, const T* input, const T* residual, int64_t rows, int64_t channels,
               const Compute<T>* mean, const Compute<T>* scale, const Compute<T>* bias) {
    using C = Compute<T>;
    mapRows<4>(rows, channels, [=](int64_t row, auto count) {
        const int64_t start = row * channels;
        forLanes<C>(channels, [=](int64_t c, auto lanes) {
            const auto m = load(mean + c, lanes), s = load(scale + c, lanes), b = load(bias + c, lanes);
            for (int u = 0; u < count; u++) {
                const int64_t at = start + u * channels + c;
                auto value = (load(input + at, lanes) - m) * s + b;
                if constexpr (withResidual) value += load(residual + at, lanes);
                if constexpr (withRelu) value = value < 0 ? Vector<C>{} : value;
                storeRounded(out + at, value, lanes);
            }
        });
    });
}

}  // namespace

void batchNorm(Context& context, const BatchNormForward& views, const BatchNormOptions& options) {
    const int64_t channels = views.input.sizes[1], rows = channels > 0 ? views.input.numel() / channels : 0;
    if (channels == 0) return;
    dispatchFloating(views.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const out = views.out.as<T>();
        const T *const input = views.input.as<T>(), *const residual = dataOf<T>(views.residual);
        C *const mean = views.mean.as<C>(), *const inverseDeviation = views.inverseDeviation.as<C>();
        const C *const weight = dataOf<C>(views.weight), *const bias = dataOf<C>(views.bias);
        C *const runningMean = dataOf<C>(views.runningMean), *const runningVariance =
                                                                 dataOf<C>(views.runningVariance);
        const Chunks chunks(rows, channels * sizeof(T));
        const size_t sumBytes = options.training ? ChunkSums::bytes(chunks, channels) : 0;
        const size_t shiftBytes = options.training ? chunks.count * channels * sizeof(C) : 0;
        const Tensor scratch =
            context.scratch(sumBytes + channels * 2 * (sizeof(double) + sizeof(C)) + shiftBytes);
        const ChunkSums sums{static_cast<double*>(scratch.data()), channels};
        auto* const moments = reinterpret_cast<double*>(static_cast<char*>(scratch.data()) + sumBytes);

        context.enqueue("batchNorm", [=] {
            C *const scale = reinterpret_cast<C*>(moments + 2 * channels), *const shift = scale + channels;
            if (options.training) {
                double *const exactMean = moments, *const variance = moments + channels;
                C* const shifts = shift + channels;
                sumSquares(input, chunks, sums, shifts);
                combineMoments(rows, chunks, sums, shifts, exactMean, variance);
                for (int64_t c = 0; c < channels; c++) {
                    mean[c] = static_cast<C>(exactMean[c]);
                    inverseDeviation[c] = static_cast<C>(1 / std::sqrt(variance[c] + options.epsilon));
                }
                if (runningMean) {
                    const double keep = 1 - options.momentum;
                    const double unbiased =
                        options.momentum * static_cast<double>(rows) / static_cast<double>(rows - 1);
                    for (int64_t c = 0; c < channels; c++) {
                        runningMean[c] =
                            static_cast<C>(keep * runningMean[c] + options.momentum * exactMean[c]);
                        runningVariance[c] =
                            static_cast<C>(keep * runningVariance[c] + unbiased * variance[c]);
                    }
                }
            } else {
                for (int64_t c = 0; c < channels; c++) {
                    mean[c] = runningMean[c];
                    inverseDeviation[c] =
                        static_cast<C>(1 / std::sqrt(double(runningVariance[c]) + options.epsilon));
                }
            }
            for (int64_t c = 0; c < channels; c++) {
                scale[c] = weight ? inverseDeviation[c] * weight[c] : inverseDeviation[c];
                shift[c] = bias ? bias[c] : C(0);
            }
            const auto run = [&](auto withResidual, auto withRelu) {
                normalize<T, withResidual.value, withRelu.value>(out, input, residual, rows, channels, mean,
                                                                 scale, shift);
            };
            if (residual) {
                options.relu ? run(std::true_type{}, std::true_type{})
                             : run(std::true_type{}, std::false_type{});
            } else {
                options.relu ? run(std::false_type{}, std::true_type{})
                             : run(std::false_type{}, std::false_type{});
            }
        });
    });
}

}  // namespace anneal::cpu
