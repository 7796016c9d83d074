// Reductions over any set of dimensions.
#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace anneal::cpu {

namespace {

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

// How states of one kind are started, fed and merged. The walk below is compiled once and knows them by these
// functions alone: as a template over fifty kinds it took half a minute to compile.
struct StateKind {
    size_t bytes;
    void (*start)(void* states, int64_t count);
    // Adds `count` elements, `step` apart, to the eight lanes.
    void (*addLine)(void* lanes, const void* source, int64_t offset, int64_t count, int64_t step);
    // Adds one element to each of `count` states.
    void (*addRow)(void* states, const void* source, int64_t offset, int64_t count, int64_t step);
    void (*merge)(void* states, const void* others, int64_t count);
};

constexpr int kLanes = 8;

template <typename State, typename T>
constexpr StateKind kStateKind{
    sizeof(State),
    [](void* states, int64_t count) { std::fill_n(static_cast<State*>(states), count, State{}); },
    [](void* lanes, const void* source, int64_t offset, int64_t count, int64_t step) {
        State state[kLanes];
        std::copy_n(static_cast<State*>(lanes), kLanes, state);
        const T* x = static_cast<const T*>(source) + offset;
        const auto load = [](T value) { return static_cast<Accumulator<T>>(static_cast<Compute<T>>(value)); };
        int64_t i = 0;
        for (; i + kLanes <= count; i += kLanes) {
            for (int lane = 0; lane < kLanes; lane++) state[lane].add(load(x[(i + lane) * step]));
        }
        for (; i < count; i++) state[0].add(load(x[i * step]));
        std::copy_n(state, kLanes, static_cast<State*>(lanes));
    },
    [](void* states, const void* source, int64_t offset, int64_t count, int64_t step) {
        auto* state = static_cast<State*>(states);
        const T* x = static_cast<const T*>(source) + offset;
        for (int64_t i = 0; i < count; i++) {
            state[i].add(static_cast<Accumulator<T>>(static_cast<Compute<T>>(x[i * step])));
        }
    },
    [](void* states, const void* others, int64_t count) {
        for (int64_t i = 0; i < count; i++) {
            static_cast<State*>(states)[i].merge(static_cast<const State*>(others)[i]);
        }
    }};

// finish(state, offset) writes an output.
using Finish = std::function<void(const void* state, int64_t offset)>;

class Reducer {
  public:
    Reducer(const View& out, const View& input, const StateKind& kind, const Finish& finish)
        : plan_(out, input), kind_(kind), source_(input.data), finish_(finish) {}

    void run() const {
        if (plan_.outputs == 0) return;
        if (plan_.inputsPerOutput > 0 && plan_.innerIsKept && !plan_.kept.empty()) {
            byRowsOfStates();
        } else if (plan_.outputs < 8 && plan_.inputsPerOutput >= 2 * kGrain) {
            byChunksOfOutput();
        } else {
            byOutput();
        }
    }

  private:
    struct States {
        explicit States(const StateKind& kind, int64_t count)
            : memory(kind.bytes * static_cast<size_t>(count) / sizeof(double) + 1), bytes(kind.bytes) {
            kind.start(memory.data(), count);
        }
        void* at(int64_t index) { return reinterpret_cast<char*>(memory.data()) + index * int64_t(bytes); }
        std::vector<double> memory;
        size_t bytes;
    };

    // Into lanes.at(0): the elements [begin, end) of those that one output, whose first lies at `base`,
    // takes.
    void reduceLines(States& lanes, int64_t base, int64_t begin, int64_t end) const {
        const Axis row = plan_.reduced.empty() ? Axis{1, 0, 0} : plan_.reduced[0];
        kind_.start(lanes.at(0), kLanes);
        for (int64_t index = begin; index < end;) {
            const int64_t column = index % row.size, count = std::min(row.size - column, end - index);
            int64_t in = base, ignored = 0;
            ReducePlan::offsets(plan_.reduced, 1, index / row.size, in, ignored);
            kind_.addLine(lanes.at(0), source_, in + column * row.in, count, row.in);
            index += count;
        }
        for (int lane = 1; lane < kLanes; lane++) kind_.merge(lanes.at(0), lanes.at(lane), 1);
    }

    void byOutput() const {
        const int64_t grain = std::max<int64_t>(1, kGrain / std::max<int64_t>(plan_.inputsPerOutput, 1));
        parallelFor(plan_.outputs, grain, [&](int64_t begin, int64_t end) {
            States lanes(kind_, kLanes);
            for (int64_t index = begin; index < end; index++) {
                int64_t in = 0, target = 0;
                ReducePlan::offsets(plan_.kept, 0, index, in, target);
                reduceLines(lanes, in, 0, plan_.inputsPerOutput);
                finish_(lanes.at(0), target);
            }
        });
    }

    // Few outputs of many elements: the team shares each.
    void byChunksOfOutput() const {
        const int64_t chunks = (plan_.inputsPerOutput + kGrain - 1) / kGrain;
        for (int64_t index = 0; index < plan_.outputs; index++) {
            int64_t in = 0, target = 0;
            ReducePlan::offsets(plan_.kept, 0, index, in, target);
            States partial(kind_, chunks);
            parallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
                States lanes(kind_, kLanes);
                for (int64_t chunk = begin; chunk < end; chunk++) {
                    reduceLines(lanes, in, chunk * kGrain,
                                std::min(plan_.inputsPerOutput, (chunk + 1) * kGrain));
                    kind_.merge(partial.at(chunk), lanes.at(0), 1);
                }
            });
            for (int64_t chunk = 1; chunk < chunks; chunk++) {
                kind_.merge(partial.at(0), partial.at(chunk), 1);
            }
            finish_(partial.at(0), target);
        }
    }

    // The innermost dimension stays: whole rows are added into a row of states.
    void byRowsOfStates() const {
        const Axis row = plan_.kept[0];
        const int64_t outer = plan_.outputs / row.size, grain = std::max<int64_t>(1, kGrain / row.size);
        const int64_t chunks = std::min<int64_t>(64, (plan_.inputsPerOutput + grain - 1) / grain);
        const int64_t perChunk = (plan_.inputsPerOutput + chunks - 1) / chunks;
        for (int64_t block = 0; block < outer; block++) {
            int64_t base = 0, target = 0;
            ReducePlan::offsets(plan_.kept, 1, block, base, target);
            States states(kind_, chunks * row.size);
            parallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
                for (int64_t chunk = begin; chunk < end; chunk++) {
                    const int64_t last = std::min(plan_.inputsPerOutput, (chunk + 1) * perChunk);
                    for (int64_t index = chunk * perChunk; index < last; index++) {
                        int64_t in = base, ignored = 0;
                        ReducePlan::offsets(plan_.reduced, 0, index, in, ignored);
                        kind_.addRow(states.at(chunk * row.size), source_, in, row.size, row.in);
                    }
                }
            });
            for (int64_t chunk = 1; chunk < chunks; chunk++) {
                kind_.merge(states.at(0), states.at(chunk * row.size), row.size);
            }
            for (int64_t i = 0; i < row.size; i++) finish_(states.at(i), target + i * row.out);
        }
    }

    const ReducePlan plan_;
    const StateKind& kind_;
    const void* const source_;
    const Finish& finish_;
};

template <typename State, typename T, typename Write>
void reduceWith(const View& out, const View& input, const Write& write) {
    Reducer(out, input, kStateKind<State, T>, [&](const void* state, int64_t offset) {
        write(*static_cast<const State*>(state), offset);
    }).run();
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

}  // namespace anneal::cpu
