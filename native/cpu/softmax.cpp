#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/softmax_rows.h"

// Softmax over the middle dimension of dense memory [outer, size, inner]. With inner = 1 vectors run along
// the rows, otherwise across them.
namespace anneal::cpu {

using namespace simd;

namespace {

// Calls body(offset of the first element, lanes) for vectors of neighbouring columns.
template <typename C, typename Body>
void forColumns(const SoftmaxShape& shape, const Body& body) {
    constexpr int kCount = Lanes<C>::kCount;
    const int64_t vectors = (shape.inner + kCount - 1) / kCount;
    const int64_t grain = std::max<int64_t>(1, kGrain / (shape.size * kCount));
    parallelFor(shape.outer * vectors, grain, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            const int64_t column = i % vectors * kCount, left = shape.inner - column;
            const int64_t start = i / vectors * shape.size * shape.inner + column;
            if (left >= kCount) {
                body(start, Full{});
            } else {
                body(start, Part{static_cast<int>(left)});
            }
        }
    });
}

template <typename Body>
void forRowsOf(const SoftmaxShape& shape, const Body& body) {
    parallelFor(shape.outer, std::max<int64_t>(1, kGrain / shape.size), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) body(row * shape.size);
    });
}

template <bool logarithm, typename T>
void softmaxOfRow(T* y, const T* x, int64_t size) {
    using C = Compute<T>;
    if constexpr (logarithm) {
        const LogSum<C> logOf = logSumOfRow(x, size);
        forLanes<C>(size, [=](int64_t i, auto lanes) { store(y + i, logOf(load(x + i, lanes)), lanes); });
    } else if constexpr (std::is_same_v<T, C>) {
        const C largest = maxOfRow(x, size);
        const C sum = sumOfExponentials(
            x, size, largest, [=](int64_t i, Vector<C> value, auto lanes) { store(y + i, value, lanes); });
        const C scale = 1 / sum;
        forLanes<C>(size, [=](int64_t i, auto lanes) { store(y + i, load(y + i, lanes) * scale, lanes); });
    } else {
        // Storing the exponentials in half precision would round twice.
        const C largest = maxOfRow(x, size);
        const C scale = 1 / sumOfExponentials(x, size, largest, [](int64_t, auto, auto) {});
        forLanes<C>(size, [=](int64_t i, auto lanes) {
            store(y + i, simd::exp(load(x + i, lanes) - largest) * scale, lanes);
        });
    }
}

template <bool logarithm, typename T, typename L>
ANNEAL_INLINE void softmaxOfColumns(T* y, const T* x, int64_t size, int64_t step, L lanes) {
    using C = Compute<T>;
    using V = Vector<C>;
    V largest = load(x, lanes);
    for (int64_t i = 1; i < size; i++) {
        const V value = load(x + i * step, lanes);
        largest = value > largest ? value : largest;
    }
    V sum = {};
    for (int64_t i = 0; i < size; i++) sum += simd::exp(load(x + i * step, lanes) - largest);
    if constexpr (logarithm) {
        for (int lane = 0; lane < Lanes<C>::kCount; lane++) sum[lane] = std::log(sum[lane]);
        for (int64_t i = 0; i < size; i++)
            store(y + i * step, load(x + i * step, lanes) - largest - sum, lanes);
    } else {
        const V scale = 1 / sum;
        for (int64_t i = 0; i < size; i++) {
            store(y + i * step, simd::exp(load(x + i * step, lanes) - largest) * scale, lanes);
        }
    }
}

template <bool logarithm, typename T>
void softmaxForward(T* out, const T* input, const SoftmaxShape& shape) {
    const int64_t size = shape.size, step = shape.inner;
    if (step == 1) {
        forRowsOf(shape, [=](int64_t start) { softmaxOfRow<logarithm>(out + start, input + start, size); });
    } else {
        forColumns<Compute<T>>(shape, [=](int64_t start, auto lanes) {
            softmaxOfColumns<logarithm>(out + start, input + start, size, step, lanes);
        });
    }
}

// softmax: y (g - sum(g y)); its logarithm: g - exp(y) sum(g).
template <bool logarithm, typename T>
void softmaxBackward(T* gradInput, const T* gradient, const T* output, const SoftmaxShape& shape) {
    using C = Compute<T>;
    using V = Vector<C>;
    const int64_t size = shape.size, step = shape.inner;
    const auto weigh = [](V g, V y) { return logarithm ? g : g * y; };
    const auto combine = [](V g, V y, V sum) { return logarithm ? g - simd::exp(y) * sum : y * (g - sum); };
    if (step == 1) {
        forRowsOf(shape, [=](int64_t start) {
            const T *const g = gradient + start, *const y = output + start;
            V sums = {};
            forLanes<C>(
                size, [&](int64_t i, auto lanes) { sums += weigh(load(g + i, lanes), load(y + i, lanes)); });
            const V sum = splat<C>(sumLanes<C>(sums));
            forLanes<C>(size, [=](int64_t i, auto lanes) {
                store(gradInput + start + i, combine(load(g + i, lanes), load(y + i, lanes), sum), lanes);
            });
        });
        return;
    }
    forColumns<C>(shape, [=](int64_t start, auto lanes) {
        const T *const g = gradient + start, *const y = output + start;
        V sum = {};
        for (int64_t i = 0; i < size; i++) sum += weigh(load(g + i * step, lanes), load(y + i * step, lanes));
        for (int64_t i = 0; i < size; i++) {
            const V value = combine(load(g + i * step, lanes), load(y + i * step, lanes), sum);
            store(gradInput + start + i * step, value, lanes);
        }
    });
}

}  // namespace

void softmax(Context& context, const View& out, const View& input, const SoftmaxShape& shape,
             bool logarithm) {
    if (shape.size == 0) return;
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* const y = out.as<T>();
        const T* const x = input.as<T>();
        if (logarithm) {
            context.enqueue("logSoftmax", [=] { softmaxForward<true>(y, x, shape); });
        } else {
            context.enqueue("softmax", [=] { softmaxForward<false>(y, x, shape); });
        }
    });
}

void softmaxBackward(Context& context, const View& gradInput, const View& gradient, const View& output,
                     const SoftmaxShape& shape, bool logarithm) {
    if (shape.size == 0) return;
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* const target = gradInput.as<T>();
        const T *const g = gradient.as<T>(), *const y = output.as<T>();
        if (logarithm) {
            context.enqueue("logSoftmax backward", [=] { softmaxBackward<true>(target, g, y, shape); });
        } else {
            context.enqueue("softmax backward", [=] { softmaxBackward<false>(target, g, y, shape); });
        }
    });
}

}  // namespace anneal::cpu
