#include "cpu/optimizer.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "cpu/parallel.h"
#include "cpu/subnormal.h"

namespace anneal::cpu {

namespace {

// Calls body(item, begin, end) over all elements of all items, as if they lay one behind the other: a group
// of many small parameters is shared among the team as evenly as one large parameter.
template <typename Body>
void forItems(const std::vector<StepItem>& items, const Body& body) {
    std::vector<int64_t> ends;
    ends.reserve(items.size());
    int64_t total = 0;
    for (const StepItem& item : items) ends.push_back(total += item.numel);
    parallelFor(total, kGrain, [&](int64_t begin, int64_t end) {
        const FlushSubnormals faded;
        auto k = static_cast<size_t>(std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin());
        for (; begin < end; k++) {
            const int64_t start = ends[k] - items[k].numel;
            const int64_t stop = std::min(ends[k], end);
            if (begin < stop) body(items[k], begin - start, stop - start);
            begin = stop;
        }
    });
}

template <typename T>
T* at(void* data, int64_t begin) {
    return data ? static_cast<T*>(data) + begin : nullptr;
}
template <typename T>
const T* at(const void* data, int64_t begin) {
    return static_cast<const T*>(data) + begin;
}

// Both forms of weight decay, with the multiplications left out where they would change nothing.
template <typename C>
struct Decay {
    explicit Decay(const WeightDecay& decay, double lr)
        : scale(static_cast<C>(decay.decoupled ? 1 - lr * decay.strength : 1)),
          strength(static_cast<C>(decay.decoupled ? 0 : decay.strength)) {}
    C scale, strength;

    void apply(C& param, C& grad) const {
        param *= scale;
        grad += strength * param;
    }
};

template <typename T>
void sgd(const StepItem& item, int64_t begin, int64_t end, const SgdOptions& options) {
    using C = Compute<T>;
    T* __restrict param = at<T>(item.param, begin);
    const T* __restrict grad = at<T>(item.grad, begin);
    T* __restrict buffer = at<T>(item.states[0], begin);
    const int64_t count = end - begin;
    const Decay<C> decay(options.decay, options.lr);
    const C step = static_cast<C>(-options.lr);
    if (!buffer) {
        for (int64_t i = 0; i < count; i++) {
            C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
            decay.apply(p, g);
            param[i] = static_cast<T>(p + step * g);
        }
        return;
    }
    // The first step fills the buffer with the gradient itself, without dampening.
    const bool first = item.factors[0] != 0;
    const C keep = static_cast<C>(first ? 0 : options.momentum);
    const C take = static_cast<C>(first ? 1 : 1 - options.dampening);
    const C ahead = static_cast<C>(options.nesterov ? options.momentum : 1);
    const C direct = static_cast<C>(options.nesterov ? 1 : 0);
    for (int64_t i = 0; i < count; i++) {
        C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
        decay.apply(p, g);
        const C velocity = static_cast<C>(buffer[i]) * keep + take * g;
        buffer[i] = static_cast<T>(velocity);
        param[i] = static_cast<T>(p + step * (direct * g + ahead * velocity));
    }
}

template <typename T>
void adam(const StepItem& item, int64_t begin, int64_t end, const AdamOptions& options) {
    using C = Compute<T>;
    T* __restrict param = at<T>(item.param, begin);
    const T* __restrict grad = at<T>(item.grad, begin);
    T* __restrict mean = at<T>(item.states[0], begin);
    T* __restrict square = at<T>(item.states[1], begin);
    T* __restrict largest = at<T>(item.states[2], begin);
    const int64_t count = end - begin;
    const Decay<C> decay(options.decay, options.lr);
    const C beta1 = static_cast<C>(options.beta1), rest1 = static_cast<C>(1 - options.beta1);
    const C beta2 = static_cast<C>(options.beta2), rest2 = static_cast<C>(1 - options.beta2);
    const C step = static_cast<C>(-options.lr / item.factors[0]);
    const C correction = static_cast<C>(item.factors[1]);
    const C eps = static_cast<C>(options.eps);
    const auto run = [&](auto amsgrad) {
        for (int64_t i = 0; i < count; i++) {
            C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
            decay.apply(p, g);
            const C m = static_cast<C>(mean[i]) * beta1 + rest1 * g;
            C v = static_cast<C>(square[i]) * beta2 + rest2 * g * g;
            mean[i] = static_cast<T>(m);
            square[i] = static_cast<T>(v);
            if constexpr (amsgrad) {
                const C before = static_cast<C>(largest[i]);
                v = v > before || v != v ? v : before;  // a NaN stays, as in PyTorch
                largest[i] = static_cast<T>(v);
            }
            param[i] = static_cast<T>(p + step * m / (std::sqrt(v) / correction + eps));
        }
    };
    largest ? run(std::true_type{}) : run(std::false_type{});
}

template <typename T>
void rmsprop(const StepItem& item, int64_t begin, int64_t end, const RmspropOptions& options) {
    using C = Compute<T>;
    T* __restrict param = at<T>(item.param, begin);
    const T* __restrict grad = at<T>(item.grad, begin);
    T* __restrict square = at<T>(item.states[0], begin);
    T* __restrict mean = at<T>(item.states[1], begin);
    T* __restrict buffer = at<T>(item.states[2], begin);
    const int64_t count = end - begin;
    const Decay<C> decay(options.decay, options.lr);
    const C alpha = static_cast<C>(options.alpha), rest = static_cast<C>(1 - options.alpha);
    const C step = static_cast<C>(-options.lr), momentum = static_cast<C>(options.momentum);
    const C eps = static_cast<C>(options.eps);
    const auto run = [&](auto centred, auto withMomentum) {
        for (int64_t i = 0; i < count; i++) {
            C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
            decay.apply(p, g);
            C v = static_cast<C>(square[i]) * alpha + rest * g * g;
            square[i] = static_cast<T>(v);
            if constexpr (centred) {
                const C m = static_cast<C>(mean[i]) * alpha + rest * g;
                mean[i] = static_cast<T>(m);
                v -= m * m;
            }
            const C root = std::sqrt(v) + eps;
            if constexpr (withMomentum) {
                const C velocity = static_cast<C>(buffer[i]) * momentum + g / root;
                buffer[i] = static_cast<T>(velocity);
                param[i] = static_cast<T>(p + step * velocity);
            } else {
                param[i] = static_cast<T>(p + step * g / root);
            }
        }
    };
    if (mean) {
        buffer ? run(std::true_type{}, std::true_type{}) : run(std::true_type{}, std::false_type{});
    } else {
        buffer ? run(std::false_type{}, std::true_type{}) : run(std::false_type{}, std::false_type{});
    }
}

template <typename T>
void adagrad(const StepItem& item, int64_t begin, int64_t end, const AdagradOptions& options) {
    using C = Compute<T>;
    T* __restrict param = at<T>(item.param, begin);
    const T* __restrict grad = at<T>(item.grad, begin);
    T* __restrict sum = at<T>(item.states[0], begin);
    const int64_t count = end - begin;
    const Decay<C> decay(options.decay, options.lr);
    const C step = static_cast<C>(-item.factors[0]), eps = static_cast<C>(options.eps);
    for (int64_t i = 0; i < count; i++) {
        C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
        decay.apply(p, g);
        const C total = static_cast<C>(sum[i]) + g * g;
        sum[i] = static_cast<T>(total);
        param[i] = static_cast<T>(p + step * g / (std::sqrt(total) + eps));
    }
}

// The direction of LAMB from what the moments hold; used twice, since its norm must be known before it is
// taken.
template <typename T, typename C>
struct LambDirection {
    LambDirection(const StepItem& item, const LambOptions& options)
        : correction1(static_cast<C>(item.factors[0])),
          correction2(static_cast<C>(item.factors[1])),
          eps(static_cast<C>(options.eps)),
          decay(static_cast<C>(options.weightDecay)) {}
    C correction1, correction2, eps, decay;

    C operator()(C param, C mean, C square) const {
        return mean / correction1 / (std::sqrt(square / correction2) + eps) + decay * param;
    }
};

// Moments, and the squared norms of parameter and direction over [begin, end).
template <typename T>
void lambMoments(const StepItem& item, int64_t begin, int64_t end, const LambOptions& options,
                 double norms[2]) {
    using C = Compute<T>;
    const T* __restrict param = at<T>(item.param, begin);
    const T* __restrict grad = at<T>(item.grad, begin);
    T* __restrict mean = at<T>(item.states[0], begin);
    T* __restrict square = at<T>(item.states[1], begin);
    const C beta1 = static_cast<C>(options.beta1), rest1 = static_cast<C>(1 - options.beta1);
    const C beta2 = static_cast<C>(options.beta2), rest2 = static_cast<C>(1 - options.beta2);
    const LambDirection<T, C> direction(item, options);
    double paramNorm = 0, directionNorm = 0;
    for (int64_t i = 0; i < end - begin; i++) {
        const C p = static_cast<C>(param[i]), g = static_cast<C>(grad[i]);
        const C m = static_cast<C>(mean[i]) * beta1 + rest1 * g;
        const C v = static_cast<C>(square[i]) * beta2 + rest2 * g * g;
        mean[i] = static_cast<T>(m);
        square[i] = static_cast<T>(v);
        const double u = direction(p, static_cast<C>(mean[i]), static_cast<C>(square[i]));
        paramNorm += static_cast<double>(p) * static_cast<double>(p);
        directionNorm += u * u;
    }
    norms[0] = paramNorm;
    norms[1] = directionNorm;
}

template <typename T>
void lambUpdate(const StepItem& item, int64_t begin, int64_t end, const LambOptions& options, double trust) {
    using C = Compute<T>;
    T* __restrict param = at<T>(item.param, begin);
    const T* __restrict mean = at<T>(static_cast<const void*>(item.states[0]), begin);
    const T* __restrict square = at<T>(static_cast<const void*>(item.states[1]), begin);
    const LambDirection<T, C> direction(item, options);
    const C step = static_cast<C>(-options.lr * trust);
    for (int64_t i = 0; i < end - begin; i++) {
        const C p = static_cast<C>(param[i]);
        param[i] =
            static_cast<T>(p + step * direction(p, static_cast<C>(mean[i]), static_cast<C>(square[i])));
    }
}

struct LambChunk {
    size_t item;
    int64_t begin, end;
    double norms[2];
};

void lamb(const std::vector<StepItem>& items, const LambOptions& options) {
    // Chunks of fixed size whose norms are added in order: the same sum whatever the number of threads.
    std::vector<LambChunk> chunks;
    for (size_t k = 0; k < items.size(); k++) {
        for (int64_t begin = 0; begin < items[k].numel; begin += kGrain) {
            chunks.push_back({k, begin, std::min(items[k].numel, begin + kGrain), {}});
        }
    }
    const auto forChunks = [&](const auto& body) {
        parallelFor(static_cast<int64_t>(chunks.size()), 1, [&](int64_t begin, int64_t end) {
            const FlushSubnormals faded;
            for (int64_t i = begin; i < end; i++) {
                LambChunk& chunk = chunks[static_cast<size_t>(i)];
                dispatchFloating(items[chunk.item].dtype,
                                 [&](auto tag) { body(tag, items[chunk.item], chunk); });
            }
        });
    };
    forChunks([&](auto tag, const StepItem& item, LambChunk& chunk) {
        lambMoments<typename decltype(tag)::type>(item, chunk.begin, chunk.end, options, chunk.norms);
    });
    std::vector<double> trust(items.size());
    for (size_t k = 0, i = 0; k < items.size(); k++) {
        double norms[2] = {};
        for (; i < chunks.size() && chunks[i].item == k; i++) {
            norms[0] += chunks[i].norms[0];
            norms[1] += chunks[i].norms[1];
        }
        trust[k] = norms[0] > 0 && norms[1] > 0 ? std::sqrt(norms[0] / norms[1]) : 1;
    }
    forChunks([&](auto tag, const StepItem& item, LambChunk& chunk) {
        lambUpdate<typename decltype(tag)::type>(item, chunk.begin, chunk.end, options, trust[chunk.item]);
    });
}

}  // namespace

void sgdStep(Context& context, std::vector<StepItem> items, const SgdOptions& options) {
    context.enqueue("sgd_step_", [items = std::move(items), options] {
        forItems(items, [&](const StepItem& item, int64_t begin, int64_t end) {
            dispatchFloating(item.dtype,
                             [&](auto tag) { sgd<typename decltype(tag)::type>(item, begin, end, options); });
        });
    });
}

void adamStep(Context& context, std::vector<StepItem> items, const AdamOptions& options) {
    context.enqueue("adam_step_", [items = std::move(items), options] {
        forItems(items, [&](const StepItem& item, int64_t begin, int64_t end) {
            dispatchFloating(
                item.dtype, [&](auto tag) { adam<typename decltype(tag)::type>(item, begin, end, options); });
        });
    });
}

void rmspropStep(Context& context, std::vector<StepItem> items, const RmspropOptions& options) {
    context.enqueue("rmsprop_step_", [items = std::move(items), options] {
        forItems(items, [&](const StepItem& item, int64_t begin, int64_t end) {
            dispatchFloating(item.dtype, [&](auto tag) {
                rmsprop<typename decltype(tag)::type>(item, begin, end, options);
            });
        });
    });
}

void adagradStep(Context& context, std::vector<StepItem> items, const AdagradOptions& options) {
    context.enqueue("adagrad_step_", [items = std::move(items), options] {
        forItems(items, [&](const StepItem& item, int64_t begin, int64_t end) {
            dispatchFloating(item.dtype, [&](auto tag) {
                adagrad<typename decltype(tag)::type>(item, begin, end, options);
            });
        });
    });
}

void lambStep(Context& context, std::vector<StepItem> items, const LambOptions& options) {
    context.enqueue("lamb_step_", [items = std::move(items), options] { lamb(items, options); });
}

}  // namespace anneal::cpu
