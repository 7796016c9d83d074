// What runs along the lines of one dimension: extremes with their places, running sums.
#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

void extremum(Context& context, bool largest, const View& values, const View& indices, const View& input,
              int dim) {
    context.enqueue(largest ? "max" : "min", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            const Lines in(input, dim), outValues(values, dim), outIndices(indices, dim);
            parallelFor(in.count, std::max<int64_t>(1, kGrain / std::max<int64_t>(in.length, 1)),
                        [&](int64_t begin, int64_t end) {
                            for (int64_t line = begin; line < end; line++) {
                                const T* source = input.as<const T>() + in.base(line);
                                C best = static_cast<C>(source[0]);
                                int64_t at = 0;
                                for (int64_t i = 1; i < in.length && best == best; i++) {
                                    const C value = static_cast<C>(source[i * in.step]);
                                    if (value != value || (largest ? value > best : value < best)) {
                                        best = value;
                                        at = i;
                                    }
                                }
                                values.as<T>()[outValues.base(line)] = static_cast<T>(best);
                                indices.as<int64_t>()[outIndices.base(line)] = at;
                            }
                        });
        });
    });
}

namespace {

// Calls body(line) for every line along `dim`, in chunks over the team.
template <typename Body>
void forEachLine(const View& lead, int dim, const Body& body) {
    const Lines lines(lead, dim);
    parallelFor(lines.count, std::max<int64_t>(1, kGrain / std::max<int64_t>(lines.length, 1)),
                [&](int64_t begin, int64_t end) {
                    for (int64_t line = begin; line < end; line++) body(line);
                });
}

}  // namespace

void cumsum(Context& context, const View& out, const View& input, int dim, bool reverse) {
    context.enqueue("cumsum", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const Lines in(input, dim), target(out, dim);
            forEachLine(input, dim, [&](int64_t line) {
                const T* source = input.as<const T>() + in.base(line);
                T* sums = out.as<T>() + target.base(line);
                Accumulator<T> total{};
                for (int64_t k = 0; k < in.length; k++) {
                    const int64_t i = reverse ? in.length - 1 - k : k;
                    total += static_cast<Accumulator<T>>(static_cast<Compute<T>>(source[i * in.step]));
                    sums[i * target.step] = finalValue<T>(total);
                }
            });
        });
    });
}

void cumprod(Context& context, const View& out, const View& input, int dim) {
    context.enqueue("cumprod", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const Lines in(input, dim), target(out, dim);
            forEachLine(input, dim, [&](int64_t line) {
                const T* source = input.as<const T>() + in.base(line);
                T* products = out.as<T>() + target.base(line);
                Accumulator<T> total{1};
                for (int64_t i = 0; i < in.length; i++) {
                    total *= static_cast<Accumulator<T>>(static_cast<Compute<T>>(source[i * in.step]));
                    products[i * target.step] = finalValue<T>(total);
                }
            });
        });
    });
}

// d/dx_i of sum_j g_j p_j is the sum over j >= i of g_j p_j / x_i. At the first zero of a line the quotient
// is formed by leaving the factor out; beyond it every product stays zero.
void cumprodBackward(Context& context, const View& gradInput, const View& gradOutput, const View& input,
                     const View& output, int dim) {
    context.enqueue("cumprod_backward", [=] {
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const auto value = [](T x) { return static_cast<double>(static_cast<Compute<T>>(x)); };
            const Lines target(gradInput, dim), gradient(gradOutput, dim), in(input, dim), out(output, dim);
            forEachLine(input, dim, [&](int64_t line) {
                T* result = gradInput.as<T>() + target.base(line);
                const T* g = gradOutput.as<const T>() + gradient.base(line);
                const T* x = input.as<const T>() + in.base(line);
                const T* p = output.as<const T>() + out.base(line);
                int64_t zero = 0;
                while (zero < in.length && value(x[zero * in.step]) != 0) zero++;
                double total = 0;
                for (int64_t i = zero - 1; i >= 0; i--) {
                    total += value(g[i * gradient.step]) * value(p[i * out.step]);
                    result[i * target.step] = finalValue<T>(total / value(x[i * in.step]));
                }
                if (zero == in.length) return;
                double product = zero > 0 ? value(p[(zero - 1) * out.step]) : 1;
                total = value(g[zero * gradient.step]) * product;
                for (int64_t j = zero + 1; j < in.length && product != 0; j++) {
                    product *= value(x[j * in.step]);
                    total += value(g[j * gradient.step]) * product;
                }
                result[zero * target.step] = finalValue<T>(total);
                for (int64_t j = zero + 1; j < in.length; j++) result[j * target.step] = finalValue<T>(0.0);
            });
        });
    });
}

}  // namespace anneal::cpu
