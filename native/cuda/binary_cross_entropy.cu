// Binary cross-entropy, element by element over dense memory of one layout.
#include <cmath>

#include "cuda/loss.h"
#include "cuda/row_teams.h"

namespace anneal::cuda {

namespace {

using cpu::LossReduction;

template <typename T>
struct BceOperands {
    const T *input, *target, *weight, *positiveWeight;  // the last two or null
};

// log(1 + exp(-x)) for any x.
template <typename C>
__device__ C softplusOfMinus(C x) {
    return std::log1p(std::exp(-std::fabs(x))) + (x < 0 ? -x : C(0));
}

template <typename C>
__device__ C sigmoidOf(C x) {
    const C e = std::exp(-std::fabs(x));
    return (x < 0 ? e : C(1)) / (1 + e);
}

// As in PyTorch, no logarithm counts for less than -100.
template <typename C>
__device__ C bounded(C logarithm) {
    return logarithm < C(-100) ? C(-100) : logarithm;
}

template <typename C>
struct LogitTerm {
    __device__ C operator()(C logit, C label, C positive, int64_t) const {
        return softplusOfMinus(logit) * (1 + (positive - 1) * label) + (1 - label) * logit;
    }
};

template <typename C>
struct ProbabilityTerm {
    Faults faults;
    __device__ C operator()(C probability, C label, C, int64_t i) const {
        if (probability < 0 || probability > 1) {
            faults.simple(FaultKind::Probability, i, 0, 0, static_cast<double>(probability));
            return C(0);
        }
        return (label - 1) * bounded(std::log1p(-probability)) - label * bounded(std::log(probability));
    }
};

// body(i, constant count) over `count` elements, packs of kPack first and what is left one by one.
template <int kPack, typename Body>
__device__ void forElements(int64_t count, const Body& body) {
    const int64_t packs = count / kPack;
    for (int64_t i = globalThread(); i < packs; i += globalThreads())
        body(i * kPack, std::integral_constant<int, kPack>{});
    if constexpr (kPack > 1) {
        for (int64_t i = packs * kPack + globalThread(); i < count; i += globalThreads())
            body(i, std::integral_constant<int, 1>{});
    }
}

template <int count, typename T, typename Term>
__device__ void termsAt(const BceOperands<T>& operands, int64_t i, const Term& term,
                        Compute<T> (&values)[count]) {
    using C = Compute<T>;
    C labels[count], weights[count], positives[count];
    loadPack(operands.input + i, values);
    loadPack(operands.target + i, labels);
    loadPackOr<count>(operands.weight, i, C(1), weights);
    loadPackOr<count>(operands.positiveWeight, i, C(1), positives);
#pragma unroll
    for (int k = 0; k < count; k++) values[k] = term(values[k], labels[k], positives[k], i + k) * weights[k];
}

template <int kPack, typename T, typename Term>
__global__ void mapTerms(T* out, BceOperands<T> operands, int64_t count, Term term) {
    forElements<kPack>(count, [&](int64_t i, auto number) {
        Compute<T> values[decltype(number)::value];
        termsAt(operands, i, term, values);
        storePack(out + i, values);
    });
}

template <int kPack, typename T, typename Term>
__global__ void sumTerms(LossEnd<T> end, double* partial, BceOperands<T> operands, int64_t count, Term term) {
    double sum = 0;
    forElements<kPack>(count, [&](int64_t i, auto number) {
        constexpr int kCount = decltype(number)::value;
        Compute<T> values[kCount];
        termsAt(operands, i, term, values);
#pragma unroll
        for (int k = 0; k < kCount; k++) sum += static_cast<double>(values[k]);
    });
    endOfBlock(sum, 0.0, partial, end);
}

template <typename T, typename MakeTerm>
void enqueueTerms(Context& context, const char* op, const View& out, const BceOperands<T>& operands,
                  int64_t count, LossReduction reduction, const MakeTerm& makeTerm) {
    T* const target = out.as<T>();
    const bool each = reduction == LossReduction::None;
    const auto enqueue = [&](auto pack) {
        constexpr int kPack = decltype(pack)::value;
        const Grid grid = gridFor((count + kPack - 1) / kPack);
        const Tensor scratch = context.scratch(each ? 0 : lossBytes(grid));
        auto* const partial = static_cast<double*>(scratch.data());
        submit(context, op, [=](CudaRuntime& runtime) {
            const auto term = makeTerm(runtime);
            using Term = std::decay_t<decltype(term)>;
            if (each) {
                return launch(mapTerms<kPack, T, Term>, grid, runtime.stream(), target, operands, count,
                              term);
            }
            const LossEnd<T> end{target, nullptr, static_cast<double>(count), reduction};
            launchTogether(sumTerms<kPack, T, Term>, grid, runtime.stream(), end, partial, operands, count,
                           term);
            finishLoss(runtime, grid, partial, end);
        });
    };
    withPacks<T>(
        0,
        {each ? target : nullptr, operands.input, operands.target, operands.weight, operands.positiveWeight},
        enqueue);
}

// --- backward: a functor gives the slopes by input and by target of one element

template <typename C>
struct LogitSlopes {
    // d/dx of (1 - y) x + q log(1 + exp(-x)) with q = 1 + (p - 1) y.
    __device__ C byInput(C logit, C label, C positive) const {
        return (1 - label) - (1 + (positive - 1) * label) * sigmoidOf(-logit);
    }
    __device__ C byTarget(C logit, C positive) const {
        return (positive - 1) * softplusOfMinus(logit) - logit;
    }
};

template <typename C>
struct ProbabilitySlopes {
    __device__ C byInput(C probability, C label, C) const {
        // PyTorch holds this bound in single precision.
        constexpr C kSmallest = static_cast<C>(1e-12f);
        const C product = (1 - probability) * probability;
        return (probability - label) / (product < kSmallest ? kSmallest : product);
    }
    __device__ C byTarget(C probability, C) const {
        return bounded(std::log1p(-probability)) - bounded(std::log(probability));
    }
};

template <int kPack, typename T, typename Slopes>
__global__ void slopeElements(T* gradInput, T* gradTarget, const T* gradient, BceOperands<T> operands,
                              int64_t count, LossReduction reduction, Slopes slopes) {
    using C = Compute<T>;
    C shared = 0;
    if (reduction != LossReduction::None) shared = toCompute(*gradient);
    if (reduction == LossReduction::Mean) shared /= static_cast<C>(count);
    forElements<kPack>(count, [&](int64_t i, auto number) {
        constexpr int kCount = decltype(number)::value;
        C inputs[kCount], labels[kCount], scales[kCount], weights[kCount], positives[kCount];
        loadPack(operands.input + i, inputs);
        loadPack(operands.target + i, labels);
        loadPackOr<kCount>(reduction == LossReduction::None ? gradient : nullptr, i, shared, scales);
        loadPackOr<kCount>(operands.weight, i, C(1), weights);
        loadPackOr<kCount>(operands.positiveWeight, i, C(1), positives);
#pragma unroll
        for (int k = 0; k < kCount; k++) scales[k] *= weights[k];
        if (gradInput) {
            C values[kCount];
#pragma unroll
            for (int k = 0; k < kCount; k++)
                values[k] = slopes.byInput(inputs[k], labels[k], positives[k]) * scales[k];
            storePack(gradInput + i, values);
        }
        if (gradTarget) {
            C values[kCount];
#pragma unroll
            for (int k = 0; k < kCount; k++) values[k] = slopes.byTarget(inputs[k], positives[k]) * scales[k];
            storePack(gradTarget + i, values);
        }
    });
}

template <template <typename> class Slopes, typename T>
void enqueueSlopes(Context& context, const char* op, const View* gradInput, const View* gradTarget,
                   const View& gradient, const BceOperands<T>& operands, int64_t count,
                   LossReduction reduction) {
    T *const toInput = dataOf<T>(gradInput), *const toTarget = dataOf<T>(gradTarget);
    const T* const g = gradient.as<const T>();
    submit(context, op, [=](CudaRuntime& runtime) {
        const auto run = [&](auto pack) {
            constexpr int kPack = decltype(pack)::value;
            launch(slopeElements<kPack, T, Slopes<Compute<T>>>, gridFor((count + kPack - 1) / kPack),
                   runtime.stream(), toInput, toTarget, g, operands, count, reduction, Slopes<Compute<T>>{});
        };
        withPacks<T>(0,
                     {toInput, toTarget, reduction == LossReduction::None ? g : nullptr, operands.input,
                      operands.target, operands.weight, operands.positiveWeight},
                     run);
    });
}

template <typename T>
BceOperands<T> operandsOf(const View& input, const View& target, const View* weight,
                          const View* positiveWeight) {
    return {input.as<const T>(), target.as<const T>(), dataOf<const T>(weight),
            dataOf<const T>(positiveWeight)};
}

constexpr const char* kWithLogits = "binaryCrossEntropyWithLogits";
constexpr const char* kPlain = "binaryCrossEntropy";

}  // namespace

void bceWithLogits(Context& context, const View& out, const View& input, const View& target,
                   const View* weight, const View* positiveWeight, cpu::LossReduction reduction) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        enqueueTerms<T>(context, kWithLogits, out, operandsOf<T>(input, target, weight, positiveWeight),
                        input.numel(), reduction, [](CudaRuntime&) { return LogitTerm<Compute<T>>{}; });
    });
}

void bceWithLogitsBackward(Context& context, const View* gradInput, const View* gradTarget,
                           const View& gradient, const View& input, const View& target, const View* weight,
                           const View* positiveWeight, cpu::LossReduction reduction) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        enqueueSlopes<LogitSlopes, T>(context, "binaryCrossEntropyWithLogits backward", gradInput, gradTarget,
                                      gradient, operandsOf<T>(input, target, weight, positiveWeight),
                                      input.numel(), reduction);
    });
}

void binaryCrossEntropy(Context& context, const View& out, const View& input, const View& target,
                        const View* weight, cpu::LossReduction reduction) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        enqueueTerms<T>(
            context, kPlain, out, operandsOf<T>(input, target, weight, nullptr), input.numel(), reduction,
            [](CudaRuntime& runtime) { return ProbabilityTerm<Compute<T>>{runtime.faultsFor(kPlain)}; });
    });
}

void binaryCrossEntropyBackward(Context& context, const View* gradInput, const View* gradTarget,
                                const View& gradient, const View& input, const View& target,
                                const View* weight, cpu::LossReduction reduction) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        enqueueSlopes<ProbabilitySlopes, T>(context, "binaryCrossEntropy backward", gradInput, gradTarget,
                                            gradient, operandsOf<T>(input, target, weight, nullptr),
                                            input.numel(), reduction);
    });
}

}  // namespace anneal::cuda
