#include "cpu/kernels.h"
#include "cpu/loops.h"

#include <cmath>
#include <limits>
#include <vector>

namespace anneal::cpu {

namespace {

// float32 sums are carried in double: free where memory is the limit, and it makes results independent of
// chunking to the last bit that matters.
template <typename T>
using Accumulator = std::conditional_t<std::is_floating_point_v<Compute<T>>, double, int64_t>;

template <typename A>
struct SumState {
    A value{};
    void add(A x) { value += x; }
    void merge(const SumState& other) { value += other.value; }
};

template <typename A>
struct ProductState {
    A value{1};
    void add(A x) { value *= x; }
    void merge(const ProductState& other) { value *= other.value; }
};

template <typename A, bool kLargest>
struct ExtremeState {
    A value{};
    bool any = false;
    void add(A x) {
        if (!any || x != x || (value == value && (kLargest ? x > value : x < value))) value = x;
        any = true;
    }
    void merge(const ExtremeState& other) {
        if (other.any) add(other.value);
    }
};

template <typename A>
struct AnyState {
    bool value = false;
    void add(A x) { value = value || x != A{}; }
    void merge(const AnyState& other) { value = value || other.value; }
};

template <typename A>
struct AllState {
    bool value = true;
    void add(A x) { value = value && x != A{}; }
    void merge(const AllState& other) { value = value && other.value; }
};

// Welford's update and Chan's merge: sound for means far from zero.
template <typename A>
struct VarianceState {
    double mean = 0, squares = 0, count = 0;
    void add(A x) {
        count += 1;
        const double delta = static_cast<double>(x) - mean;
        mean += delta / count;
        squares += delta * (static_cast<double>(x) - mean);
    }
    void merge(const VarianceState& other) {
        if (other.count == 0) return;
        const double total = count + other.count, delta = other.mean - mean;
        squares += other.squares + delta * delta * count * other.count / total;
        mean += delta * other.count / total;
        count = total;
    }
};

struct Axis {
    int64_t size, in, out;  // strides in elements
};

// The input's dimensions, innermost in memory first, split into those that stay and those that are reduced.
struct ReducePlan {
    std::vector<Axis> kept, reduced;
    int64_t outputs = 1, inputsPerOutput = 1;
    bool innerIsKept = false;

    ReducePlan(const View& out, const View& input) {
        std::vector<int> order;
        for (int i = input.dims() - 1; i >= 0; i--) {
            if (input.sizes[i] != 1) order.push_back(i);
        }
        std::stable_sort(order.begin(), order.end(),
                         [&](int a, int b) { return input.strides[a] < input.strides[b]; });
        bool first = true;
        for (int i : order) {
            const bool isReduced = out.sizes[i] == 1;
            if (first) innerIsKept = !isReduced;
            first = false;
            append(isReduced ? reduced : kept,
                   Axis{input.sizes[i], input.strides[i], isReduced ? 0 : out.strides[i]});
            (isReduced ? inputsPerOutput : outputs) *= input.sizes[i];
        }
    }

    static void append(std::vector<Axis>& axes, const Axis& axis) {
        if (!axes.empty()) {
            Axis& last = axes.back();
            if (axis.in == last.in * last.size && axis.out == last.out * last.size) {
                last.size *= axis.size;
                return;
            }
        }
        axes.push_back(axis);
    }

    static void offsets(const std::vector<Axis>& axes, size_t from, int64_t index, int64_t& in,
                        int64_t& out) {
        for (size_t k = from; k < axes.size(); k++) {
            const int64_t position = index % axes[k].size;
            index /= axes[k].size;
            in += position * axes[k].in;
            out += position * axes[k].out;
        }
    }
};

template <typename State, typename T, typename Finish>
void reduceWith(const View& out, const View& input, const Finish& finish) {
    using A = Accumulator<T>;
    const ReducePlan plan(out, input);
    const T* source = input.as<const T>();
    const auto load = [&](int64_t offset) { return static_cast<A>(static_cast<Compute<T>>(source[offset])); };

    if (plan.outputs == 0) return;
    if (plan.inputsPerOutput == 0 || plan.innerIsKept == false || plan.kept.empty()) {
        // Each output is a sum over rows that lie together in memory.
        const Axis row = plan.reduced.empty() ? Axis{1, 0, 0} : plan.reduced[0];
        const auto reduceRows = [&](int64_t base, int64_t begin, int64_t end) {
            // Linear range [begin, end) of the reduced elements.
            State lanes[8];
            for (int64_t index = begin; index < end;) {
                const int64_t column = index % row.size, count = std::min(row.size - column, end - index);
                int64_t in = base, ignored = 0;
                ReducePlan::offsets(plan.reduced, 1, index / row.size, in, ignored);
                in += column * row.in;
                int64_t i = 0;
                for (; i + 8 <= count; i += 8) {
                    for (int lane = 0; lane < 8; lane++) lanes[lane].add(load(in + (i + lane) * row.in));
                }
                for (; i < count; i++) lanes[0].add(load(in + i * row.in));
                index += count;
            }
            for (int lane = 1; lane < 8; lane++) lanes[0].merge(lanes[lane]);
            return lanes[0];
        };
        if (plan.outputs < 8 && plan.inputsPerOutput >= 2 * kGrain) {
            const int64_t chunks = (plan.inputsPerOutput + kGrain - 1) / kGrain;
            std::vector<State> partial(static_cast<size_t>(chunks));
            for (int64_t index = 0; index < plan.outputs; index++) {
                int64_t in = 0, target = 0;
                ReducePlan::offsets(plan.kept, 0, index, in, target);
                parallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
                    for (int64_t chunk = begin; chunk < end; chunk++) {
                        partial[static_cast<size_t>(chunk)] = reduceRows(
                            in, chunk * kGrain, std::min(plan.inputsPerOutput, (chunk + 1) * kGrain));
                    }
                });
                State total;
                for (const State& part : partial) total.merge(part);
                finish(total, target);
            }
            return;
        }
        parallelFor(plan.outputs, std::max<int64_t>(1, kGrain / std::max<int64_t>(plan.inputsPerOutput, 1)),
                    [&](int64_t begin, int64_t end) {
                        for (int64_t index = begin; index < end; index++) {
                            int64_t in = 0, target = 0;
                            ReducePlan::offsets(plan.kept, 0, index, in, target);
                            finish(reduceRows(in, 0, plan.inputsPerOutput), target);
                        }
                    });
        return;
    }

    // The innermost dimension stays: whole rows are added into a row of states.
    const Axis row = plan.kept[0];
    const int64_t outer = plan.outputs / row.size;
    const auto addRows = [&](State* states, int64_t base, int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            int64_t in = base, ignored = 0;
            ReducePlan::offsets(plan.reduced, 0, index, in, ignored);
            for (int64_t i = 0; i < row.size; i++) states[i].add(load(in + i * row.in));
        }
    };
    const int64_t grain = std::max<int64_t>(1, kGrain / row.size);
    for (int64_t block = 0; block < outer; block++) {
        int64_t in = 0, target = 0;
        ReducePlan::offsets(plan.kept, 1, block, in, target);
        const int64_t chunks = std::min<int64_t>(64, (plan.inputsPerOutput + grain - 1) / grain);
        const int64_t perChunk = (plan.inputsPerOutput + chunks - 1) / chunks;
        std::vector<State> states(static_cast<size_t>(chunks * row.size));
        parallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
            for (int64_t chunk = begin; chunk < end; chunk++) {
                addRows(states.data() + chunk * row.size, in, chunk * perChunk,
                        std::min(plan.inputsPerOutput, (chunk + 1) * perChunk));
            }
        });
        for (int64_t i = 0; i < row.size; i++) {
            State total = states[static_cast<size_t>(i)];
            for (int64_t chunk = 1; chunk < chunks; chunk++)
                total.merge(states[static_cast<size_t>(chunk * row.size + i)]);
            finish(total, target + i * row.out);
        }
    }
}

template <typename Out, typename A>
Out finalValue(A value) {
    if constexpr (std::is_same_v<Out, BFloat16> || std::is_same_v<Out, Float16>) {
        return Out(static_cast<float>(value));
    } else {
        return static_cast<Out>(value);
    }
}

}  // namespace

void reduce(Context& context, Reduction kind, const View& out, const View& input) {
    context.enqueue("reduce", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using A = Accumulator<T>;
            using Total = std::conditional_t<std::is_floating_point_v<Compute<T>>, T, int64_t>;
            // The value of each finished state, in the dtype that the front end gave the output.
            const auto into = [&](auto outTag, auto&& value) {
                using Out = typename decltype(outTag)::type;
                return [target = out.as<Out>(), value](const auto& state, int64_t at) {
                    target[at] = finalValue<Out>(value(state));
                };
            };
            const auto plain = [](const auto& state) { return state.value; };
            switch (kind) {
                case Reduction::Sum:
                    return reduceWith<SumState<A>, T>(out, input, into(TypeTag<Total>{}, plain));
                case Reduction::Mean: {
                    const double count = static_cast<double>(input.numel()) /
                                         static_cast<double>(std::max<int64_t>(out.numel(), 1));
                    const auto average = [count](const auto& state) {
                        return static_cast<double>(state.value) / count;
                    };
                    return reduceWith<SumState<A>, T>(out, input, into(TypeTag<T>{}, average));
                }
                case Reduction::Prod:
                    return reduceWith<ProductState<A>, T>(out, input, into(TypeTag<Total>{}, plain));
                case Reduction::Max:
                    return reduceWith<ExtremeState<A, true>, T>(out, input, into(TypeTag<T>{}, plain));
                case Reduction::Min:
                    return reduceWith<ExtremeState<A, false>, T>(out, input, into(TypeTag<T>{}, plain));
                case Reduction::Any:
                    return reduceWith<AnyState<A>, T>(out, input, into(TypeTag<bool>{}, plain));
                case Reduction::All:
                    return reduceWith<AllState<A>, T>(out, input, into(TypeTag<bool>{}, plain));
            }
        });
    });
}

void variance(Context& context, const View& out, const View& input, double correction) {
    context.enqueue("var", [=] {
        dispatchFloating(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            T* target = out.as<T>();
            const double count =
                static_cast<double>(input.numel()) / static_cast<double>(std::max<int64_t>(out.numel(), 1));
            reduceWith<VarianceState<Accumulator<T>>, T>(out, input, [&](const auto& state, int64_t at) {
                target[at] = finalValue<T>(state.squares / std::max(count - correction, 0.0));
            });
        });
    });
}

namespace {

// Base offsets of the lines that run along `dim`, in row-major order of the other dimensions.
struct Lines {
    int64_t count = 1, length, step;
    std::vector<int64_t> sizes, strides;

    Lines(const View& view, int dim) : length(view.sizes[dim]), step(view.strides[dim]) {
        for (int i = view.dims() - 1; i >= 0; i--) {
            if (i == dim) continue;
            sizes.push_back(view.sizes[i]);
            strides.push_back(view.strides[i]);
            count *= view.sizes[i];
        }
    }
    int64_t base(int64_t index) const {
        int64_t offset = 0;
        for (size_t k = 0; k < sizes.size(); k++) {
            offset += index % sizes[k] * strides[k];
            index /= sizes[k];
        }
        return offset;
    }
};

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
