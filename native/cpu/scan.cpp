// What runs along the lines of one dimension: extremes with their places, sorting, running sums.
#include <algorithm>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

namespace {

// Orders values as PyTorch does: NaN counts as larger than everything.
template <typename C>
bool before(C a, C b, bool descending) {
    const bool nanA = a != a, nanB = b != b;
    if (nanA || nanB) return descending ? nanA && !nanB : nanB && !nanA;
    return descending ? a > b : a < b;
}

}  // namespace

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

void sort(Context& context, const View& values, const View& indices, const View& input, int dim,
          bool descending, int64_t count) {
    context.enqueue("sort", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            const Lines in(input, dim), outValues(values, dim), outIndices(indices, dim);
            parallelFor(in.count, std::max<int64_t>(1, kGrain / 16 / std::max<int64_t>(in.length, 1)),
                        [&](int64_t begin, int64_t end) {
                            std::vector<int64_t> order(static_cast<size_t>(in.length));
                            for (int64_t line = begin; line < end; line++) {
                                const T* source = input.as<const T>() + in.base(line);
                                for (int64_t i = 0; i < in.length; i++) order[static_cast<size_t>(i)] = i;
                                const auto less = [&](int64_t a, int64_t b) {
                                    const C x = static_cast<C>(source[a * in.step]),
                                            y = static_cast<C>(source[b * in.step]);
                                    return before(x, y, descending) || (!before(y, x, descending) && a < b);
                                };
                                if (count < in.length) {
                                    std::partial_sort(order.begin(), order.begin() + count, order.end(),
                                                      less);
                                } else {
                                    std::sort(order.begin(), order.end(), less);
                                }
                                for (int64_t i = 0; i < count; i++) {
                                    const int64_t from = order[static_cast<size_t>(i)];
                                    values.as<T>()[outValues.base(line) + i * outValues.step] =
                                        source[from * in.step];
                                    indices.as<int64_t>()[outIndices.base(line) + i * outIndices.step] = from;
                                }
                            }
                        });
        });
    });
}

void cumsum(Context& context, const View& out, const View& input, int dim) {
    context.enqueue("cumsum", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const Lines in(input, dim), target(out, dim);
            parallelFor(in.count, std::max<int64_t>(1, kGrain / std::max<int64_t>(in.length, 1)),
                        [&](int64_t begin, int64_t end) {
                            for (int64_t line = begin; line < end; line++) {
                                const T* source = input.as<const T>() + in.base(line);
                                T* sums = out.as<T>() + target.base(line);
                                Accumulator<T> total{};
                                for (int64_t i = 0; i < in.length; i++) {
                                    total += static_cast<Accumulator<T>>(
                                        static_cast<Compute<T>>(source[i * in.step]));
                                    sums[i * target.step] = finalValue<T>(total);
                                }
                            }
                        });
        });
    });
}

}  // namespace anneal::cpu
