#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

namespace {

// A contiguous tensor as [outer, length, inner] around one dimension: a line is `length` elements, `inner` apart.
struct LineShape {
    int64_t outer = 1, length = 1, inner = 1;

    LineShape(const View& view, int dim) {
        for (int i = 0; i < view.dims(); i++) {
            (i < dim ? outer : i == dim ? length : inner) *= view.sizes[i];
        }
    }

    // Calls line(offset of its first element) for every line.
    template <typename Body>
    void forEach(const Body& line) const {
        parallelFor(outer * inner, std::max<int64_t>(1, kGrain / 8 / std::max<int64_t>(length, 1)),
                    [&](int64_t begin, int64_t end) {
                        for (int64_t i = begin; i < end; i++) line(i / inner * length * inner + i % inner);
                    });
    }
};

}  // namespace

void softmax(Context& context, bool logarithm, const View& out, const View& input, int dim) {
    context.enqueue(logarithm ? "log_softmax" : "softmax", [=] {
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            const LineShape shape(input, dim);
            const int64_t step = shape.inner;
            shape.forEach([&](int64_t offset) {
                const T* x = input.as<const T>() + offset;
                T* y = out.as<T>() + offset;
                C highest = -std::numeric_limits<C>::infinity();
                for (int64_t i = 0; i < shape.length; i++) highest = std::max(highest, static_cast<C>(x[i * step]));
                C total = 0;
                for (int64_t i = 0; i < shape.length; i++) total += std::exp(static_cast<C>(x[i * step]) - highest);
                if (logarithm) {
                    const C shift = highest + std::log(total);
                    for (int64_t i = 0; i < shape.length; i++) y[i * step] = static_cast<T>(static_cast<C>(x[i * step]) - shift);
                } else {
                    for (int64_t i = 0; i < shape.length; i++) {
                        y[i * step] = static_cast<T>(std::exp(static_cast<C>(x[i * step]) - highest) / total);
                    }
                }
            });
        });
    });
}

void softmaxBackward(Context& context, bool logarithm, const View& gradInput, const View& gradOutput, const View& output,
                     int dim) {
    context.enqueue(logarithm ? "log_softmax_backward" : "softmax_backward", [=] {
        dispatchFloating(output.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            const LineShape shape(output, dim);
            const int64_t step = shape.inner;
            shape.forEach([&](int64_t offset) {
                const T* g = gradOutput.as<const T>() + offset;
                const T* y = output.as<const T>() + offset;
                T* dx = gradInput.as<T>() + offset;
                C total = 0;
                for (int64_t i = 0; i < shape.length; i++) {
                    const C gradient = static_cast<C>(g[i * step]);
                    total += logarithm ? gradient : gradient * static_cast<C>(y[i * step]);
                }
                for (int64_t i = 0; i < shape.length; i++) {
                    const C gradient = static_cast<C>(g[i * step]), value = static_cast<C>(y[i * step]);
                    dx[i * step] = static_cast<T>(logarithm ? gradient - std::exp(value) * total : (gradient - total) * value);
                }
            });
        });
    });
}

}  // namespace anneal::cpu
