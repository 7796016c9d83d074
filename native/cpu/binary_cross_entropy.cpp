#include <cmath>

#include "core/error.h"
#include "cpu/loss.h"

// Binary cross-entropy, element by element over dense memory of one layout.
namespace anneal::cpu {

using namespace simd;

namespace {

// Stores term(offset, lanes) for every element, or adds all up and divides by `divisor`.
template <typename T, typename Term>
void reduceTerms(T* out, int64_t count, LossReduction reduction, double* partial, const Term& term) {
    using C = Compute<T>;
    if (reduction == LossReduction::None) {
        parallelFor(count, kGrain, [=](int64_t begin, int64_t end) {
            forLanes<C>(end - begin, [=](int64_t i, auto lanes) {
                store(out + begin + i, term(begin + i, lanes), lanes);
            });
        });
        return;
    }
    const double sum = sumChunks(count, kGrain, partial, [=](int64_t begin, int64_t end) {
        constexpr int64_t kBlock = 1024;  // summed in the compute type before going to double
        double chunkSum = 0;
        for (int64_t block = begin; block < end; block += kBlock) {
            Vector<C> sums = {};
            forLanes<C>(std::min(kBlock, end - block), [&](int64_t i, auto lanes) {
                sums += fillRest<C>(term(block + i, lanes), lanes, C(0));
            });
            chunkSum += sumLanes<C>(sums);
        }
        return chunkSum;
    });
    *out = T(static_cast<C>(reduction == LossReduction::Mean ? sum / static_cast<double>(count) : sum));
}

// The factor of one element's gradient: its own, or the scalar's share.
template <typename T, typename L>
ANNEAL_INLINE Vector<Compute<T>> upstream(const T* gradient, int64_t at, int64_t count,
                                          LossReduction reduction, L lanes) {
    using C = Compute<T>;
    if (reduction == LossReduction::None) return load(gradient + at, lanes);
    const C scalar = static_cast<C>(*gradient);
    return splat<C>(reduction == LossReduction::Mean ? scalar / static_cast<C>(count) : scalar);
}

template <typename V>
ANNEAL_INLINE V absolute(V x) {
    return x < 0 ? -x : x;
}

// log(1 + exp(-x)) for any x.
template <typename V>
ANNEAL_INLINE V softplusOfMinus(V x) {
    return log1pUnit(simd::exp(-absolute(x))) + (x < 0 ? -x : V{});
}

template <typename V>
ANNEAL_INLINE V sigmoidOf(V x) {
    const V e = simd::exp(-absolute(x));
    return (x < 0 ? e : V{} + 1) / (1 + e);
}

template <typename T>
ANNEAL_INLINE T logarithm(T x) {
    return x > 0    ? std::log(x)
           : x == 0 ? -std::numeric_limits<T>::infinity()
                    : std::numeric_limits<T>::quiet_NaN();
}

}  // namespace

void bceWithLogits(Context& context, const View& out, const View& input, const View& target,
                   const View* weight, const View* positiveWeight, LossReduction reduction) {
    const int64_t count = input.numel();
    const Tensor scratch = context.scratch(lossChunks(count, kGrain) * sizeof(double));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using V = Vector<Compute<T>>;
        T* const loss = out.as<T>();
        const T *const x = input.as<T>(), *const y = target.as<T>();
        const T *const w = optionalData<T>(weight), *const p = optionalData<T>(positiveWeight);
        context.enqueue("binaryCrossEntropyWithLogits", [=] {
            reduceTerms(loss, count, reduction, partial, [=](int64_t i, auto lanes) {
                const V logit = load(x + i, lanes), label = load(y + i, lanes);
                V term = softplusOfMinus(logit);
                if (p) term *= 1 + (load(p + i, lanes) - 1) * label;
                term += (1 - label) * logit;
                return w ? term * load(w + i, lanes) : term;
            });
        });
    });
}

void bceWithLogitsBackward(Context& context, const View* gradInput, const View* gradTarget,
                           const View& gradient, const View& input, const View& target, const View* weight,
                           const View* positiveWeight, LossReduction reduction) {
    const int64_t count = input.numel();
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        using V = Vector<C>;
        T *const toInput = optionalData<T>(gradInput), *const toTarget = optionalData<T>(gradTarget);
        const T *const g = gradient.as<T>(), *const x = input.as<T>(), *const y = target.as<T>();
        const T *const w = optionalData<T>(weight), *const p = optionalData<T>(positiveWeight);
        context.enqueue("binaryCrossEntropyWithLogits backward", [=] {
            parallelFor(count, kGrain, [=](int64_t begin, int64_t end) {
                forLanes<C>(end - begin, [=](int64_t offset, auto lanes) {
                    const int64_t i = begin + offset;
                    const V logit = load(x + i, lanes), label = load(y + i, lanes);
                    V scale = upstream(g, i, count, reduction, lanes);
                    if (w) scale *= load(w + i, lanes);
                    const V positive = p ? load(p + i, lanes) : splat<C>(1);
                    if (toInput) {
                        // d/dx of (1 - y) x + q log(1 + exp(-x)) with q = 1 + (p - 1) y.
                        const V value = (1 - label) - (1 + (positive - 1) * label) * sigmoidOf(-logit);
                        store(toInput + i, value * scale, lanes);
                    }
                    if (toTarget) {
                        const V value = (positive - 1) * softplusOfMinus(logit) - logit;
                        store(toTarget + i, value * scale, lanes);
                    }
                });
            });
        });
    });
}

void binaryCrossEntropy(Context& context, const View& out, const View& input, const View& target,
                        const View* weight, LossReduction reduction) {
    const int64_t count = input.numel();
    const Tensor scratch = context.scratch(lossChunks(count, kGrain) * sizeof(double));
    auto* const partial = static_cast<double*>(scratch.data());
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        using V = Vector<C>;
        T* const loss = out.as<T>();
        const T *const x = input.as<T>(), *const y = target.as<T>(), *const w = optionalData<T>(weight);
        context.enqueue("binaryCrossEntropy", [=] {
            for (int64_t i = 0; i < count; i++) {
                const C value = static_cast<C>(x[i]);
                if (value < 0 || value > 1) {
                    fail(ErrorKind::General, "probabilities must lie between 0 and 1, element ", i, " is ",
                         value, " (for raw scores use binaryCrossEntropyWithLogits)");
                }
            }
            reduceTerms(loss, count, reduction, partial, [=](int64_t i, auto lanes) {
                const V probability = load(x + i, lanes), label = load(y + i, lanes);
                V term{};
                for (int lane = 0; lane < Lanes<C>::kCount; lane++) {
                    // As in PyTorch, no logarithm counts for less than -100.
                    const C yes = std::max(logarithm<C>(probability[lane]), C(-100));
                    const C no = std::max(std::log1p(-probability[lane]), C(-100));
                    term[lane] = (label[lane] - 1) * no - label[lane] * yes;
                }
                return w ? term * load(w + i, lanes) : term;
            });
        });
    });
}

void binaryCrossEntropyBackward(Context& context, const View* gradInput, const View* gradTarget,
                                const View& gradient, const View& input, const View& target,
                                const View* weight, LossReduction reduction) {
    const int64_t count = input.numel();
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        using V = Vector<C>;
        T *const toInput = optionalData<T>(gradInput), *const toTarget = optionalData<T>(gradTarget);
        const T *const g = gradient.as<T>(), *const x = input.as<T>(), *const y = target.as<T>();
        const T* const w = optionalData<T>(weight);
        // PyTorch holds this bound in single precision.
        constexpr auto kSmallest = static_cast<C>(1e-12f);
        context.enqueue("binaryCrossEntropy backward", [=] {
            parallelFor(count, kGrain, [=](int64_t begin, int64_t end) {
                forLanes<C>(end - begin, [=](int64_t offset, auto lanes) {
                    const int64_t i = begin + offset;
                    const V probability = load(x + i, lanes), label = load(y + i, lanes);
                    V scale = upstream(g, i, count, reduction, lanes);
                    if (w) scale *= load(w + i, lanes);
                    if (toInput) {
                        const V product = (1 - probability) * probability;
                        const V divisor = product < kSmallest ? splat<C>(kSmallest) : product;
                        store(toInput + i, (probability - label) / divisor * scale, lanes);
                    }
                    if (toTarget) {
                        V value{};
                        for (int lane = 0; lane < Lanes<C>::kCount; lane++) {
                            value[lane] = std::max(std::log1p(-probability[lane]), C(-100)) -
                                          std::max(logarithm<C>(probability[lane]), C(-100));
                        }
                        store(toTarget + i, value * scale, lanes);
                    }
                });
            });
        });
    });
}

}  // namespace anneal::cpu
