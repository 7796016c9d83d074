#include <cmath>
#include <string>

#include "core/error.h"
#include "cpu/loss.h"
#include "cpu/softmax_rows.h"

// Cross-entropy from logits [rows, classes], softmax included. The forward pass keeps one logarithm of a sum
// per row; the backward pass computes the exponentials again, which costs less than keeping them.
namespace anneal::cpu {

using namespace simd;

namespace {

std::string positionOf(int64_t index, const Dims& sizes) {
    Dims position = Dims::filled(sizes.size(), 0);
    for (int i = sizes.size() - 1; i >= 0; i--) {
        position[i] = index % sizes[i];
        index /= sizes[i];
    }
    return position.toString();
}

// Before any row is touched: what a label points at must exist.
void checkLabels(const int64_t* labels, int64_t count, int64_t classes, int64_t ignoreIndex,
                 const Dims& sizes) {
    for (int64_t i = 0; i < count; i++) {
        const int64_t label = labels[i];
        if ((label < 0 || label >= classes) && label != ignoreIndex) {
            fail(ErrorKind::Shape, "label ", label, " at position ", positionOf(i, sizes),
                 " is out of range for ", classes, " classes (0 to ", classes - 1, "; ignored: ", ignoreIndex,
                 ")");
        }
    }
}

bool isClass(int64_t label, int64_t classes, int64_t ignoreIndex) {
    return label != ignoreIndex && label >= 0 && label < classes;
}

// Sum of -weight * log(softmax) over a row: the part of a smoothed label.
template <typename T>
ANNEAL_INLINE Compute<T> sumOverClasses(const T* row, const Compute<T>* weight, int64_t classes,
                                        const LogSum<Compute<T>>& logOf) {
    using C = Compute<T>;
    Vector<C> sum = {};
    forLanes<C>(classes, [&](int64_t i, auto lanes) {
        auto term = -logOf(load(row + i, lanes));
        if (weight) term *= load(weight + i, lanes);
        sum += fillRest<C>(term, lanes, C(0));
    });
    return sumLanes<C>(sum);
}

// Unreduced losses go to `out`, their sum divided by the sum of weights (or by one) otherwise.
template <typename T>
void finishLoss(T* out, double sum, double total, LossReduction reduction) {
    if (reduction == LossReduction::Mean) *out = T(static_cast<Compute<T>>(sum / total));
    if (reduction == LossReduction::Sum) *out = T(static_cast<Compute<T>>(sum));
}

}  // namespace

void crossEntropy(Context& context, const View& out, const View& logSums, const View& totalWeight,
                  const View& logits, const View& labels, const View* weight,
                  const CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1], grain = lossGrain(classes);
    const Tensor scratch = context.scratch(2 * lossChunks(rows, grain) * sizeof(double));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const loss = out.as<T>();
        auto* const logOf = logSums.as<LogSum<C>>();
        double* const total = totalWeight.as<double>();
        const T* const x = logits.as<T>();
        const int64_t* const y = labels.as<int64_t>();
        const C* const w = optionalData<C>(weight);
        context.enqueue("crossEntropy", [=, sizes = labels.sizes] {
            checkLabels(y, rows, classes, options.ignoreIndex, sizes);
            const bool each = options.reduction == LossReduction::None;
            const C smoothing = static_cast<C>(options.labelSmoothing);
            double* const weights = partial + lossChunks(rows, grain);
            const double sum = sumChunks(rows, grain, partial, [=](int64_t begin, int64_t end) {
                double chunkSum = 0, chunkWeight = 0;
                for (int64_t i = begin; i < end; i++) {
                    const T* const row = x + i * classes;
                    logOf[i] = logSumOfRow(row, classes);
                    C value = 0;
                    if (y[i] != options.ignoreIndex) {
                        const C labelWeight = w ? w[y[i]] : C(1);
                        value = labelWeight * -logOf[i](static_cast<C>(row[y[i]]));
                        if (smoothing != 0) {
                            const C all = sumOverClasses(row, w, classes, logOf[i]);
                            value = (1 - smoothing) * value + smoothing / static_cast<C>(classes) * all;
                        }
                        chunkWeight += labelWeight;
                    }
                    if (each) loss[i] = T(value);
                    chunkSum += value;
                }
                weights[begin / grain] = chunkWeight;
                return chunkSum;
            });
            double weightSum = 0;
            for (int64_t chunk = 0; chunk < lossChunks(rows, grain); chunk++) weightSum += weights[chunk];
            *total = weightSum;
            finishLoss(loss, sum, weightSum, options.reduction);
        });
    });
}

void crossEntropyBackward(Context& context, const View& gradLogits, const View& gradient, const View& logits,
                          const View& labels, const View* weight, const View& logSums,
                          const View& totalWeight, const CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1], grain = lossGrain(classes);
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const target = gradLogits.as<T>();
        const T *const g = gradient.as<T>(), *const x = logits.as<T>();
        const auto* const logOf = logSums.as<LogSum<C>>();
        const C* const w = optionalData<C>(weight);
        const double* const total = totalWeight.as<double>();
        const int64_t* const y = labels.as<int64_t>();
        context.enqueue("crossEntropy backward", [=] {
            const C share = static_cast<C>(options.labelSmoothing) / static_cast<C>(classes);
            const C keep = 1 - static_cast<C>(options.labelSmoothing);
            C allWeights = static_cast<C>(classes);
            if (w && share != 0) {
                allWeights = 0;
                for (int64_t c = 0; c < classes; c++) allWeights += w[c];
            }
            parallelFor(rows, grain, [=](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) {
                    const T* const row = x + i * classes;
                    T* const out = target + i * classes;
                    // The forward pass has reported a label out of range; here it must only not be followed.
                    if (!isClass(y[i], classes, options.ignoreIndex)) {
                        std::fill(out, out + classes, T(C(0)));
                        continue;
                    }
                    C scale = static_cast<C>(options.reduction == LossReduction::None ? g[i] : g[0]);
                    if (options.reduction == LossReduction::Mean) scale /= static_cast<C>(*total);
                    const C labelPart = scale * keep * (w ? w[y[i]] : C(1)), smoothPart = scale * share;
                    const C ofSoftmax = labelPart + smoothPart * allWeights;
                    const LogSum<C> logOfRow = logOf[i];
                    const int64_t label = y[i];
                    const C atLabel = std::exp(logOfRow(static_cast<C>(row[label]))) * ofSoftmax - labelPart -
                                      smoothPart * (w ? w[label] : C(1));
                    forLanes<C>(classes, [=](int64_t c, auto lanes) {
                        auto value = simd::exp(logOfRow(load(row + c, lanes))) * ofSoftmax;
                        if (smoothPart != 0)
                            value -= w ? load(w + c, lanes) * smoothPart : splat<C>(smoothPart);
                        store(out + c, value, lanes);
                    });
                    out[label] = T(atLabel);
                }
            });
        });
    });
}

void crossEntropySoft(Context& context, const View& out, const View& logSums, const View& logits,
                      const View& targets, const View* weight, const CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1], grain = lossGrain(classes);
    const Tensor scratch = context.scratch(lossChunks(rows, grain) * sizeof(double));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const loss = out.as<T>();
        auto* const logOf = logSums.as<LogSum<C>>();
        const T *const x = logits.as<T>(), *const q = targets.as<T>();
        const C* const w = optionalData<C>(weight);
        context.enqueue("crossEntropy", [=] {
            const C keep = static_cast<C>(1 - options.labelSmoothing);
            const C share = static_cast<C>(options.labelSmoothing / static_cast<double>(classes));
            const double sum = sumChunks(rows, grain, partial, [=](int64_t begin, int64_t end) {
                double chunkSum = 0;
                for (int64_t i = begin; i < end; i++) {
                    const T *const row = x + i * classes, *const probabilities = q + i * classes;
                    const LogSum<C> logOfRow = logOf[i] = logSumOfRow(row, classes);
                    Vector<C> terms = {};
                    forLanes<C>(classes, [&](int64_t c, auto lanes) {
                        auto term =
                            (load(probabilities + c, lanes) * keep + share) * -logOfRow(load(row + c, lanes));
                        if (w) term *= load(w + c, lanes);
                        terms += fillRest<C>(term, lanes, C(0));
                    });
                    const C value = sumLanes<C>(terms);
                    if (options.reduction == LossReduction::None) loss[i] = T(value);
                    chunkSum += value;
                }
                return chunkSum;
            });
            finishLoss(loss, sum, static_cast<double>(rows), options.reduction);
        });
    });
}

void crossEntropySoftBackward(Context& context, const View* gradLogits, const View* gradTargets,
                              const View& gradient, const View& logits, const View& targets,
                              const View* weight, const View& logSums, const CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1], grain = lossGrain(classes);
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T *const toLogits = optionalData<T>(gradLogits), *const toTargets = optionalData<T>(gradTargets);
        const T *const g = gradient.as<T>(), *const x = logits.as<T>(), *const q = targets.as<T>();
        const auto* const logOf = logSums.as<LogSum<C>>();
        const C* const w = optionalData<C>(weight);
        context.enqueue("crossEntropy backward", [=] {
            const C keep = static_cast<C>(1 - options.labelSmoothing);
            const C share = static_cast<C>(options.labelSmoothing / static_cast<double>(classes));
            parallelFor(rows, grain, [=](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) {
                    const T *const row = x + i * classes, *const probabilities = q + i * classes;
                    C scale = static_cast<C>(options.reduction == LossReduction::None ? g[i] : g[0]);
                    if (options.reduction == LossReduction::Mean) scale /= static_cast<C>(rows);
                    const LogSum<C> logOfRow = logOf[i];
                    const auto smoothed = [=](int64_t c, auto lanes) {
                        const auto value = load(probabilities + c, lanes) * keep + share;
                        return w ? value * load(w + c, lanes) : value;
                    };
                    if (toLogits) {
                        Vector<C> sums = {};
                        forLanes<C>(classes, [&](int64_t c, auto lanes) {
                            sums += fillRest<C>(smoothed(c, lanes), lanes, C(0));
                        });
                        const C all = sumLanes<C>(sums);
                        forLanes<C>(classes, [=](int64_t c, auto lanes) {
                            const auto value =
                                simd::exp(logOfRow(load(row + c, lanes))) * all - smoothed(c, lanes);
                            store(toLogits + i * classes + c, value * scale, lanes);
                        });
                    }
                    if (!toTargets) continue;
                    forLanes<C>(classes, [=](int64_t c, auto lanes) {
                        auto value = -logOfRow(load(row + c, lanes)) * (scale * keep);
                        if (w) value *= load(w + c, lanes);
                        store(toTargets + i * classes + c, value, lanes);
                    });
                }
            });
        });
    });
}

void nllLoss(Context& context, const View& out, const View& totalWeight, const View& logProbabilities,
             const View& labels, const View* weight, const CrossEntropyOptions& options) {
    const int64_t rows = logProbabilities.sizes[0], classes = logProbabilities.sizes[1], grain = lossGrain(8);
    const Tensor scratch = context.scratch(2 * lossChunks(rows, grain) * sizeof(double));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(logProbabilities.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const loss = out.as<T>();
        double* const total = totalWeight.as<double>();
        const T* const x = logProbabilities.as<T>();
        const int64_t* const y = labels.as<int64_t>();
        const C* const w = optionalData<C>(weight);
        context.enqueue("nllLoss", [=, sizes = labels.sizes] {
            checkLabels(y, rows, classes, options.ignoreIndex, sizes);
            double* const weights = partial + lossChunks(rows, grain);
            const double sum = sumChunks(rows, grain, partial, [=](int64_t begin, int64_t end) {
                double chunkSum = 0, chunkWeight = 0;
                for (int64_t i = begin; i < end; i++) {
                    const bool counts = y[i] != options.ignoreIndex;
                    const C labelWeight = !counts ? C(0) : w ? w[y[i]] : C(1);
                    const C value = counts ? -labelWeight * static_cast<C>(x[i * classes + y[i]]) : C(0);
                    if (options.reduction == LossReduction::None) loss[i] = T(value);
                    chunkSum += value;
                    chunkWeight += labelWeight;
                }
                weights[begin / grain] = chunkWeight;
                return chunkSum;
            });
            double weightSum = 0;
            for (int64_t chunk = 0; chunk < lossChunks(rows, grain); chunk++) weightSum += weights[chunk];
            *total = weightSum;
            finishLoss(loss, sum, weightSum, options.reduction);
        });
    });
}

void nllLossBackward(Context& context, const View& gradInput, const View& gradient, const View& labels,
                     const View* weight, const View& totalWeight, const CrossEntropyOptions& options) {
    const int64_t rows = gradInput.sizes[0], classes = gradInput.sizes[1], grain = lossGrain(classes);
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const target = gradInput.as<T>();
        const T* const g = gradient.as<T>();
        const C* const w = optionalData<C>(weight);
        const double* const total = totalWeight.as<double>();
        const int64_t* const y = labels.as<int64_t>();
        context.enqueue("nllLoss backward", [=] {
            parallelFor(rows, grain, [=](int64_t begin, int64_t end) {
                std::fill(target + begin * classes, target + end * classes, T(C(0)));
                for (int64_t i = begin; i < end; i++) {
                    if (!isClass(y[i], classes, options.ignoreIndex)) continue;
                    C value = static_cast<C>(options.reduction == LossReduction::None ? g[i] : g[0]);
                    if (options.reduction == LossReduction::Mean) value /= static_cast<C>(*total);
                    target[i * classes + y[i]] = T(-value * (w ? w[y[i]] : C(1)));
                }
            });
        });
    });
}

}  // namespace anneal::cpu
