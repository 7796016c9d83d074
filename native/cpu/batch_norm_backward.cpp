#include "cpu/kernels.h"
#include "cpu/rows.h"

// The gradients of batch normalisation with its fused ReLU and residual sum: one pass that sums, one that
// spreads.
namespace anneal::cpu {

using namespace simd;

namespace {

// Which gradients pass the ReLU: all, those where the output is positive, or those where the output, computed
// again from the input (which has to be read anyway), is.
enum class Gate { Open, Output, Input };

template <typename T>
struct Gradients {
    using C = Compute<T>;
    const T *gradient = nullptr, *input = nullptr, *output = nullptr;
    T *gradInput = nullptr, *passed = nullptr;  // `passed` takes what went through an output's gate
    int64_t rows = 0, channels = 0;
    const C *mean = nullptr, *scale = nullptr, *bias = nullptr;
};

template <Gate gate, typename T, typename L>
ANNEAL_INLINE Vector<Compute<T>> passGate(const Gradients<T>& g, int64_t at, Vector<Compute<T>> centered,
                                          Vector<Compute<T>> scale, Vector<Compute<T>> bias, L lanes) {
    using V = Vector<Compute<T>>;
    V value = load(g.gradient + at, lanes);
    if constexpr (gate == Gate::Output) {
        value = load(g.output + at, lanes) <= 0 ? V{} : value;
        storeRounded(g.passed + at, value, lanes);
    } else if constexpr (gate == Gate::Input) {
        value = centered * scale + bias <= 0 ? V{} : value;
    }
    return value;
}

// Sums of the gradient and of its product with x - mean.
template <Gate gate, typename T>
void sumGradients(const Gradients<T>& g, const Chunks& chunks, const ChunkSums& sums) {
    using C = Compute<T>;
    using V = Vector<C>;
    const auto nothing = [](int64_t, int64_t, int64_t) {};
    sumRows<C, 4>(chunks, sums, nothing, [g](int64_t, int64_t row, auto count, C* sum, C* product) {
        const int64_t start = row * g.channels;
        forLanes<C>(g.channels, [=](int64_t c, auto lanes) {
            const V mean = load(g.mean + c, lanes);
            const V scale = gate == Gate::Input ? load(g.scale + c, lanes) : V{};
            const V bias = gate == Gate::Input ? load(g.bias + c, lanes) : V{};
            V s = load(sum + c, lanes), p = load(product + c, lanes);
            for (int u = 0; u < count; u++) {
                const int64_t at = start + u * g.channels + c;
                const V centered = load(g.input + at, lanes) - mean;
                const V value = passGate<gate>(g, at, centered, scale, bias, lanes);
                s += value;
                p += value * centered;
            }
            store(sum + c, s, lanes);
            store(product + c, p, lanes);
        });
    });
}

// gradInput = (gradient - offset - (x - mean) * slope) * scale; the terms subtracted come from the
// statistics. In this order little is lost where they nearly cancel.
template <Gate gate, bool withStatistics, typename T>
void spreadGradients(const Gradients<T>& gradients, const Compute<T>* slope, const Compute<T>* offset) {
    using C = Compute<T>;
    using V = Vector<C>;
    constexpr bool readsInput = withStatistics || gate == Gate::Input;
    mapRows<4>(gradients.rows, gradients.channels, [g = gradients, slope, offset](int64_t row, auto count) {
        const int64_t start = row * g.channels;
        forLanes<C>(g.channels, [=](int64_t c, auto lanes) {
            const V scale = load(g.scale + c, lanes);
            const V mean = readsInput ? load(g.mean + c, lanes) : V{};
            const V bias = gate == Gate::Input ? load(g.bias + c, lanes) : V{};
            const V p = withStatistics ? load(slope + c, lanes) : V{};
            const V q = withStatistics ? load(offset + c, lanes) : V{};
            for (int u = 0; u < count; u++) {
                const int64_t at = start + u * g.channels + c;
                V centered{};
                if constexpr (readsInput) centered = load(g.input + at, lanes) - mean;
                V value = passGate<gate>(g, at, centered, scale, bias, lanes);
                if constexpr (withStatistics) value = (value - q) - centered * p;
                storeRounded(g.gradInput + at, value * scale, lanes);
            }
        });
    });
}

}  // namespace

void batchNormBackward(Context& context, const BatchNormBackward& views, const BatchNormOptions& options) {
    const int64_t channels = views.input.sizes[1], rows = channels > 0 ? views.input.numel() / channels : 0;
    if (channels == 0) return;
    dispatchFloating(views.input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        Gradients<T> g;
        g.gradient = views.gradOutput.as<T>();
        g.input = views.input.as<T>();
        g.output = dataOf<T>(views.output);
        g.gradInput = dataOf<T>(views.gradInput);
        g.passed = dataOf<T>(views.gradResidual);
        g.rows = rows;
        g.channels = channels;
        g.mean = views.mean.as<C>();
        const C *const weight = dataOf<C>(views.weight), *const bias = dataOf<C>(views.bias);
        const C* const inverseDeviation = views.inverseDeviation.as<C>();
        C *const gradWeight = dataOf<C>(views.gradWeight), *const gradBias = dataOf<C>(views.gradBias);
        // The pass that sums also writes what passed an output's gate; without it the other one does.
        const bool sumsNeeded = gradWeight || (options.training && g.gradInput) || !g.gradInput;
        const Chunks chunks(rows, channels * sizeof(T));
        const size_t sumBytes = sumsNeeded ? ChunkSums::bytes(chunks, channels) : 0;
        const Tensor scratch = context.scratch(sumBytes + channels * (2 * sizeof(double) + 4 * sizeof(C)));
        const ChunkSums sums{static_cast<double*>(scratch.data()), channels};
        auto* const totals = reinterpret_cast<double*>(static_cast<char*>(scratch.data()) + sumBytes);
        C *const scale = reinterpret_cast<C*>(totals + 2 * channels), *const shift = scale + channels;
        C *const slope = shift + channels, *const offset = slope + channels;
        g.scale = scale;
        g.bias = shift;

        const auto run = [=](auto gateTag) {
            constexpr Gate gate = gateTag.value;
            // What has passed an output's gate is written down by the first pass; the second reads just that.
            constexpr Gate gateOfSecond = gate == Gate::Output ? Gate::Open : gate;
            for (int64_t c = 0; c < channels; c++) {
                scale[c] = weight ? inverseDeviation[c] * weight[c] : inverseDeviation[c];
                shift[c] = bias ? bias[c] : C(0);
            }
            if (!sumsNeeded) {
                spreadGradients<gate, false>(g, slope, offset);
                return;
            }
            sumGradients<gate>(g, chunks, sums);
            std::fill(totals, totals + 2 * channels, 0.0);
            for (int64_t chunk = 0; chunk < chunks.count; chunk++) {
                const double* const part = sums.first(chunk);
                for (int64_t c = 0; c < 2 * channels; c++) totals[c] += part[c];
            }
            const double *const sum = totals, *const product = totals + channels;
            const double inverseRows = 1 / static_cast<double>(rows);
            for (int64_t c = 0; c < channels; c++) {
                const double inverse = inverseDeviation[c];
                slope[c] = static_cast<C>(inverse * inverse * product[c] * inverseRows);
                offset[c] = static_cast<C>(sum[c] * inverseRows);
            }
            for (int64_t c = 0; gradWeight && c < channels; c++) {
                gradWeight[c] = static_cast<C>(product[c] * inverseDeviation[c]);
                gradBias[c] = static_cast<C>(sum[c]);
            }
            if (!g.gradInput) return;
            Gradients<T> second = g;
            if (gate == Gate::Output) second.gradient = g.passed;
            if (options.training) {
                spreadGradients<gateOfSecond, true>(second, slope, offset);
            } else {
                spreadGradients<gateOfSecond, false>(second, slope, offset);
            }
        };
        const auto enqueue = [&](auto gateTag) {
            context.enqueue("batchNorm backward", [run, gateTag] { run(gateTag); });
        };
        if (!options.relu) {
            enqueue(std::integral_constant<Gate, Gate::Open>{});
        } else if (g.output) {
            enqueue(std::integral_constant<Gate, Gate::Output>{});
        } else {
            enqueue(std::integral_constant<Gate, Gate::Input>{});
        }
    });
}

}  // namespace anneal::cpu
