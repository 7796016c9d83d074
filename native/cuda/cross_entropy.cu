// Cross-entropy from logits [rows, classes], softmax included. The forward pass keeps one logarithm of a sum
// per row; the backward pass computes the exponentials again.
#include "cuda/labels.h"
#include "cuda/softmax_rows.h"

namespace anneal::cuda {

namespace {

using cpu::LossReduction;

// Sum over the classes of what terms(i, values) puts into a pack that begins at class i.
template <int kPack, typename C, typename Team, typename Terms>
__device__ C sumOverClasses(const Team& team, const Terms& terms) {
    C sum = 0;
    forPacks<kPack>(team, [&](int64_t i) {
        C values[kPack];
        terms(i, values);
#pragma unroll
        for (int k = 0; k < kPack; k++) sum += values[k];
    });
    return sumOverTeam(team, sum);
}

template <typename Team, int kPack, typename T>
__global__ void crossEntropyRows(LossEnd<T> end, double* partial, LogSum<Compute<T>>* logSums,
                                 const T* logits, const int64_t* labels, const Compute<T>* weight,
                                 int64_t rows, int width, Compute<T> smoothing, LabelRules rules) {
    using C = Compute<T>;
    const int64_t classes = rules.classes;
    double sum = 0, weights = 0;
    forEachRow<Team>(rows, classes, width, [&](const Team& team, int64_t row) {
        const T* const x = logits + row * classes;
        const LogSum<C> logOf = logSumOfRow<kPack>(team, x);
        C all = 0;
        if (smoothing != 0) {
            all = sumOverClasses<kPack, C>(team, [&](int64_t i, C(&values)[kPack]) {
                C ws[kPack];
                loadPack(x + i, values);
                loadPackOr<kPack>(weight, i, C(1), ws);
#pragma unroll
                for (int k = 0; k < kPack; k++) values[k] = -logOf(values[k]) * ws[k];
            });
        }
        if (!team.active || team.rank != 0) return;
        logSums[row] = logOf;
        const int64_t label = labels[row];
        C value = 0;
        if (rules.counts(label, row)) {
            const C labelWeight = weight ? weight[label] : C(1);
            value = labelWeight * -logOf(toCompute(x[label]));
            if (smoothing != 0) value = (1 - smoothing) * value + smoothing / static_cast<C>(classes) * all;
            weights += static_cast<double>(labelWeight);
        }
        if (end.reduction == LossReduction::None) end.out[row] = fromCompute<T>(value);
        sum += static_cast<double>(value);
    });
    endOfBlock(sum, weights, partial, end);
}

template <typename Team, int kPack, typename T>
__global__ void crossEntropyBackwardRows(T* gradLogits, const T* gradient, const T* logits,
                                         const int64_t* labels, const Compute<T>* weight,
                                         const LogSum<Compute<T>>* logSums, const double* totalWeight,
                                         int64_t rows, int64_t size, int width, LossReduction reduction,
                                         int64_t ignored, Compute<T> smoothing) {
    using C = Compute<T>;
    const C share = smoothing / static_cast<C>(size), keep = 1 - smoothing;
    const C total = static_cast<C>(*totalWeight);
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        C allWeights = static_cast<C>(size);
        if (weight && share != 0) {
            allWeights = sumOverClasses<kPack, C>(
                team, [&](int64_t i, C(&values)[kPack]) { loadPack(weight + i, values); });
        }
        if (!team.active) return;
        const T* const x = logits + row * size;
        T* const out = gradLogits + row * size;
        const int64_t label = labels[row];
        // The forward pass has reported a label out of range; here it must only not be followed.
        const bool counts = isClass(label, size, ignored);
        const C scale = counts ? upstreamOf(gradient, row, reduction, total) : C(0);
        const C labelPart = counts ? scale * keep * (weight ? weight[label] : C(1)) : C(0);
        const C smoothPart = scale * share, ofSoftmax = labelPart + smoothPart * allWeights;
        const LogSum<C> logOf = logSums[row];
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack];
            if (counts) {
                loadPack(x + i, values);
#pragma unroll
                for (int k = 0; k < kPack; k++) {
                    values[k] = std::exp(logOf(values[k])) * ofSoftmax;
                    if (i + k == label) values[k] -= labelPart;
                }
                if (smoothPart != 0) {
                    C ws[kPack];
                    loadPackOr<kPack>(weight, i, C(1), ws);
#pragma unroll
                    for (int k = 0; k < kPack; k++) values[k] -= smoothPart * ws[k];
                }
            } else {
#pragma unroll
                for (int k = 0; k < kPack; k++) values[k] = 0;
            }
            storePack(out + i, values);
        });
    });
}

template <int kPack, typename T>
__device__ void smoothedTargets(const T* targets, const Compute<T>* weight, int64_t i, Compute<T> keep,
                                Compute<T> share, Compute<T> (&values)[kPack]) {
    Compute<T> ws[kPack];
    loadPack(targets + i, values);
    loadPackOr<kPack>(weight, i, Compute<T>(1), ws);
#pragma unroll
    for (int k = 0; k < kPack; k++) values[k] = (values[k] * keep + share) * ws[k];
}

template <typename Team, int kPack, typename T>
__global__ void softRows(LossEnd<T> end, double* partial, LogSum<Compute<T>>* logSums, const T* logits,
                         const T* targets, const Compute<T>* weight, int64_t rows, int64_t size, int width,
                         Compute<T> keep, Compute<T> share) {
    using C = Compute<T>;
    double sum = 0;
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T *const x = logits + row * size, *const q = targets + row * size;
        const LogSum<C> logOf = logSumOfRow<kPack>(team, x);
        const C value = sumOverClasses<kPack, C>(team, [&](int64_t i, C(&values)[kPack]) {
            C xs[kPack];
            loadPack(x + i, xs);
            smoothedTargets(q, weight, i, keep, share, values);
#pragma unroll
            for (int k = 0; k < kPack; k++) values[k] *= -logOf(xs[k]);
        });
        if (!team.active || team.rank != 0) return;
        logSums[row] = logOf;
        if (end.reduction == LossReduction::None) end.out[row] = fromCompute<T>(value);
        sum += static_cast<double>(value);
    });
    endOfBlock(sum, 0.0, partial, end);
}

template <typename Team, int kPack, typename T>
__global__ void softBackwardRows(T* gradLogits, T* gradTargets, const T* gradient, const T* logits,
                                 const T* targets, const Compute<T>* weight,
                                 const LogSum<Compute<T>>* logSums, int64_t rows, int64_t size, int width,
                                 LossReduction reduction, Compute<T> keep, Compute<T> share) {
    using C = Compute<T>;
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T *const x = logits + row * size, *const q = targets + row * size;
        C all = 0;
        if (gradLogits) {
            all = sumOverClasses<kPack, C>(team, [&](int64_t i, C(&values)[kPack]) {
                smoothedTargets(q, weight, i, keep, share, values);
            });
        }
        if (!team.active) return;
        const C scale = upstreamOf(gradient, row, reduction, static_cast<C>(rows));
        const LogSum<C> logOf = logSums[row];
        forPacks<kPack>(team, [&](int64_t i) {
            C xs[kPack], values[kPack];
            loadPack(x + i, xs);
            if (gradLogits) {
                smoothedTargets(q, weight, i, keep, share, values);
#pragma unroll
                for (int k = 0; k < kPack; k++)
                    values[k] = (std::exp(logOf(xs[k])) * all - values[k]) * scale;
                storePack(gradLogits + row * size + i, values);
            }
            if (gradTargets) {
                loadPackOr<kPack>(weight, i, C(1), values);
#pragma unroll
                for (int k = 0; k < kPack; k++) values[k] *= -logOf(xs[k]) * (scale * keep);
                storePack(gradTargets + row * size + i, values);
            }
        });
    });
}

}  // namespace

void crossEntropy(Context& context, const View& out, const View& logSums, const View& totalWeight,
                  const View& logits, const View& labels, const View* weight,
                  const cpu::CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        const LossEnd<T> end{out.as<T>(), totalWeight.as<double>(), 0, options.reduction};
        withPacks<T>(classes, {logits.data, w}, [&](auto pack) {
            constexpr int kPack = decltype(pack)::value;
            const RowPlan plan(rows, classes / kPack, true);
            const Tensor scratch = context.scratch(lossBytes(plan.grid));
            auto* const partial = static_cast<double*>(scratch.data());
            submit(context, "crossEntropy", [=](CudaRuntime& runtime) {
                const LabelRules rules(classes, options.ignoreIndex, labels.sizes,
                                       runtime.faultsFor("crossEntropy"));
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launchTogether(crossEntropyRows<Team, kPack, T>, plan.grid, runtime.stream(), end,
                                   partial, logSums.as<LogSum<C>>(), logits.as<const T>(),
                                   labels.as<const int64_t>(), w, rows, plan.width,
                                   static_cast<C>(options.labelSmoothing), rules);
                });
                finishLoss(runtime, plan.grid, partial, end);
            });
        });
    });
}

void crossEntropyBackward(Context& context, const View& gradLogits, const View& gradient, const View& logits,
                          const View& labels, const View* weight, const View& logSums,
                          const View& totalWeight, const cpu::CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        submit(context, "crossEntropy backward", [=](CudaRuntime& runtime) {
            withPacks<T>(classes, {gradLogits.data, logits.data, w}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const RowPlan plan(rows, classes / kPack);
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launchTogether(crossEntropyBackwardRows<Team, kPack, T>, plan.grid, runtime.stream(),
                                   gradLogits.as<T>(), gradient.as<const T>(), logits.as<const T>(),
                                   labels.as<const int64_t>(), w, logSums.as<const LogSum<C>>(),
                                   totalWeight.as<const double>(), rows, classes, plan.width,
                                   options.reduction, options.ignoreIndex,
                                   static_cast<C>(options.labelSmoothing));
                });
            });
        });
    });
}

void crossEntropySoft(Context& context, const View& out, const View& logSums, const View& logits,
                      const View& targets, const View* weight, const cpu::CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        const LossEnd<T> end{out.as<T>(), nullptr, static_cast<double>(rows), options.reduction};
        const C keep = static_cast<C>(1 - options.labelSmoothing);
        const C share = static_cast<C>(options.labelSmoothing / static_cast<double>(classes));
        withPacks<T>(classes, {logits.data, targets.data, w}, [&](auto pack) {
            constexpr int kPack = decltype(pack)::value;
            const RowPlan plan(rows, classes / kPack, true);
            const Tensor scratch = context.scratch(lossBytes(plan.grid));
            auto* const partial = static_cast<double*>(scratch.data());
            submit(context, "crossEntropy", [=](CudaRuntime& runtime) {
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launchTogether(softRows<Team, kPack, T>, plan.grid, runtime.stream(), end, partial,
                                   logSums.as<LogSum<C>>(), logits.as<const T>(), targets.as<const T>(), w,
                                   rows, classes, plan.width, keep, share);
                });
                finishLoss(runtime, plan.grid, partial, end);
            });
        });
    });
}

void crossEntropySoftBackward(Context& context, const View* gradLogits, const View* gradTargets,
                              const View& gradient, const View& logits, const View& targets,
                              const View* weight, const View& logSums,
                              const cpu::CrossEntropyOptions& options) {
    const int64_t rows = logits.sizes[0], classes = logits.sizes[1];
    dispatchFloating(logits.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        T *const toLogits = dataOf<T>(gradLogits), *const toTargets = dataOf<T>(gradTargets);
        const C keep = static_cast<C>(1 - options.labelSmoothing);
        const C share = static_cast<C>(options.labelSmoothing / static_cast<double>(classes));
        submit(context, "crossEntropy backward", [=](CudaRuntime& runtime) {
            withPacks<T>(classes, {logits.data, targets.data, w, toLogits, toTargets}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const RowPlan plan(rows, classes / kPack);
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launchTogether(softBackwardRows<Team, kPack, T>, plan.grid, runtime.stream(), toLogits,
                                   toTargets, gradient.as<const T>(), logits.as<const T>(),
                                   targets.as<const T>(), w, logSums.as<const LogSum<C>>(), rows, classes,
                                   plan.width, options.reduction, keep, share);
                });
            });
        });
    });
}

}  // namespace anneal::cuda
