// Negative log-likelihood from the logarithms of probabilities [rows, classes].
#include "cuda/labels.h"
#include "cuda/row_teams.h"

namespace anneal::cuda {

namespace {

using cpu::LossReduction;

template <typename T>
__global__ void nllRows(LossEnd<T> end, double* partial, const T* logProbabilities, const int64_t* labels,
                        const Compute<T>* weight, int64_t rows, LabelRules rules) {
    using C = Compute<T>;
    double sum = 0, weights = 0;
    for (int64_t row = globalThread(); row < rows; row += globalThreads()) {
        const int64_t label = labels[row];
        C value = 0;
        if (rules.counts(label, row)) {
            const C labelWeight = weight ? weight[label] : C(1);
            value = -labelWeight * toCompute(logProbabilities[row * rules.classes + label]);
            weights += static_cast<double>(labelWeight);
        }
        if (end.reduction == LossReduction::None) end.out[row] = fromCompute<T>(value);
        sum += static_cast<double>(value);
    }
    endOfBlock(sum, weights, partial, end);
}

template <typename Team, int kPack, typename T>
__global__ void nllBackwardRows(T* gradInput, const T* gradient, const int64_t* labels,
                                const Compute<T>* weight, const double* totalWeight, int64_t rows,
                                int64_t size, int width, LossReduction reduction, int64_t ignored) {
    using C = Compute<T>;
    const C total = static_cast<C>(*totalWeight);
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        if (!team.active) return;
        const int64_t label = labels[row];
        C atLabel = 0;
        if (isClass(label, size, ignored))
            atLabel = -upstreamOf(gradient, row, reduction, total) * (weight ? weight[label] : C(1));
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack];
#pragma unroll
            for (int k = 0; k < kPack; k++) values[k] = i + k == label ? atLabel : C(0);
            storePack(gradInput + row * size + i, values);
        });
    });
}

}  // namespace

void nllLoss(Context& context, const View& out, const View& totalWeight, const View& logProbabilities,
             const View& labels, const View* weight, const cpu::CrossEntropyOptions& options) {
    const int64_t rows = logProbabilities.sizes[0], classes = logProbabilities.sizes[1];
    const Grid grid = gridFor(rows);
    const Tensor scratch = context.scratch(lossBytes(grid));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(logProbabilities.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        const LossEnd<T> end{out.as<T>(), totalWeight.as<double>(), 0, options.reduction};
        submit(context, "nllLoss", [=](CudaRuntime& runtime) {
            const LabelRules rules(classes, options.ignoreIndex, labels.sizes, runtime.faultsFor("nllLoss"));
            launchTogether(nllRows<T>, grid, runtime.stream(), end, partial, logProbabilities.as<const T>(),
                           labels.as<const int64_t>(), w, rows, rules);
            finishLoss(runtime, grid, partial, end);
        });
    });
}

void nllLossBackward(Context& context, const View& gradInput, const View& gradient, const View& labels,
                     const View* weight, const View& totalWeight, const cpu::CrossEntropyOptions& options) {
    const int64_t rows = gradInput.sizes[0], classes = gradInput.sizes[1];
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C* const w = dataOf<C>(weight);
        submit(context, "nllLoss backward", [=](CudaRuntime& runtime) {
            withPacks<T>(classes, {gradInput.data}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const RowPlan plan(rows, classes / kPack);
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launch(nllBackwardRows<Team, kPack, T>, plan.grid, runtime.stream(), gradInput.as<T>(),
                           gradient.as<const T>(), labels.as<const int64_t>(), w,
                           totalWeight.as<const double>(), rows, classes, plan.width, options.reduction,
                           options.ignoreIndex);
                });
            });
        });
    });
}

}  // namespace anneal::cuda
