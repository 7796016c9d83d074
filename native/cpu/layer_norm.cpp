#include <cmath>

#include "cpu/kernels.h"
#include "cpu/rows.h"

// Layer normalisation: every row of [rows, size] by its own mean and variance.
namespace anneal::cpu {

using namespace simd;

namespace {

template <typename T, typename Term>
ANNEAL_INLINE Compute<T> sumOverRow(int64_t size, const Term& term) {
    using C = Compute<T>;
    Vector<C> sum = {};
    forLanes<C>(size, [&](int64_t i, auto lanes) { sum += fillRest<C>(term(i, lanes), lanes, C(0)); });
    return sumLanes<C>(sum);
}

int64_t rowGrainOf(int64_t size) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(size, 1)); }

}  // namespace

void layerNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, double epsilon) {
    const int64_t rows = input.sizes[0], size = input.sizes[1];
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const y = out.as<T>();
        const T* const x = input.as<T>();
        C *const means = mean.as<C>(), *const inverses = inverseDeviation.as<C>();
        const C *const w = dataOf<C>(weight), *const b = dataOf<C>(bias);
        context.enqueue("layerNorm", [=] {
            parallelFor(rows, rowGrainOf(size), [=](int64_t begin, int64_t end) {
                for (int64_t row = begin; row < end; row++) {
                    const T* const from = x + row * size;
                    T* const to = y + row * size;
                    const C scale = 1 / static_cast<C>(size);
                    const C m =
                        sumOverRow<T>(size, [=](int64_t i, auto lanes) { return load(from + i, lanes); }) *
                        scale;
                    const C variance = sumOverRow<T>(size,
                                                     [=](int64_t i, auto lanes) {
                                                         const auto d = load(from + i, lanes) - m;
                                                         return d * d;
                                                     }) *
                                       scale;
                    const C inverse = 1 / std::sqrt(variance + static_cast<C>(epsilon));
                    means[row] = m;
                    inverses[row] = inverse;
                    forLanes<C>(size, [=](int64_t i, auto lanes) {
                        auto value = (load(from + i, lanes) - m) * inverse;
                        if (w) value *= load(w + i, lanes);
                        if (b) value += load(b + i, lanes);
                        store(to + i, value, lanes);
                    });
                }
            });
        });
    });
}

void layerNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation) {
    const int64_t rows = input.sizes[0], size = input.sizes[1];
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const toInput = dataOf<T>(gradInput);
        C *const toWeight = dataOf<C>(gradWeight), *const toBias = dataOf<C>(gradBias);
        const T *const g = gradient.as<T>(), *const x = input.as<T>();
        const C *const w = dataOf<C>(weight), *const means = mean.as<C>(),
                       *const inverses = inverseDeviation.as<C>();
        const Chunks chunks(rows, size * sizeof(T));
        const Tensor scratch = context.scratch(toWeight ? ChunkSums::bytes(chunks, size) : 0);
        const ChunkSums sums{static_cast<double*>(scratch.data()), size};
        context.enqueue("layerNorm backward", [=] {
            if (toInput) {
                parallelFor(rows, rowGrainOf(size), [=](int64_t begin, int64_t end) {
                    for (int64_t row = begin; row < end; row++) {
                        const T *const gRow = g + row * size, *const xRow = x + row * size;
                        T* const to = toInput + row * size;
                        const C m = means[row], inverse = inverses[row], scale = 1 / static_cast<C>(size);
                        const auto weighted = [=](int64_t i, auto lanes) {
                            const auto value = load(gRow + i, lanes);
                            return w ? value * load(w + i, lanes) : value;
                        };
                        const C sum = sumOverRow<T>(size, weighted) * scale;
                        const C product =
                            sumOverRow<T>(size,
                                          [=](int64_t i, auto lanes) {
                                              return weighted(i, lanes) * (load(xRow + i, lanes) - m);
                                          }) *
                            scale * inverse * inverse;
                        forLanes<C>(size, [=](int64_t i, auto lanes) {
                            const auto value =
                                weighted(i, lanes) - sum - (load(xRow + i, lanes) - m) * product;
                            store(to + i, value * inverse, lanes);
                        });
                    }
                });
            }
            if (!toWeight) return;
            const auto nothing = [](int64_t, int64_t, int64_t) {};
            sumRows<C, 4>(chunks, sums, nothing, [=](int64_t, int64_t row, auto count, C* sum, C* product) {
                forLanes<C>(size, [=](int64_t i, auto lanes) {
                    auto s = load(sum + i, lanes), p = load(product + i, lanes);
                    for (int u = 0; u < count; u++) {
                        const int64_t at = (row + u) * size + i;
                        const auto value = load(g + at, lanes);
                        s += value;
                        p += value * ((load(x + at, lanes) - means[row + u]) * inverses[row + u]);
                    }
                    store(sum + i, s, lanes);
                    store(product + i, p, lanes);
                });
            });
            for (int64_t i = 0; i < size; i++) {
                double sum = 0, product = 0;
                for (int64_t chunk = 0; chunk < chunks.count; chunk++) {
                    sum += sums.first(chunk)[i];
                    product += sums.second(chunk)[i];
                }
                toBias[i] = static_cast<C>(sum);
                toWeight[i] = static_cast<C>(product);
            }
        });
    });
}

}  // namespace anneal::cpu
