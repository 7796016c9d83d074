// Extremes along the lines of one dimension, with their places. Few long lines are cut into parts, whose
// extremes a second kernel joins.
#include "cuda/collective.h"
#include "cuda/lines.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

// Whether (a, i) beats (b, j): a NaN wins, the first of equals wins.
template <typename C>
__device__ bool beats(C a, int64_t i, C b, int64_t j, bool largest) {
    if (a != a || b != b) return a != a && (b == b || i < j);
    if (a == b) return i < j;
    return largest ? a > b : a < b;
}

// Where lines lie in all three tensors, and into how many parts each is cut.
struct ExtremumPlan {
    Lines in, outValues, outIndices;
    bool largest;
    int64_t parts;
};

// Warps (line, part) find the places of their extremes, of elements [part, part + 1) / parts of the line's;
// with one part, or to join those that were found, warps (line) write the results.
template <typename T>
__global__ void findExtreme(T* values, int64_t* indices, const T* input, ExtremumPlan plan, int64_t* places,
                            bool joins) {
    using C = Compute<T>;
    const Lines& in = plan.in;
    const int lane = threadIdx.x % kWarp;
    const int64_t cuts = joins ? 1 : plan.parts, tasks = in.count * cuts;
    const int64_t warps = globalThreads() / kWarp, rounds = (tasks + warps - 1) / warps;
    for (int64_t round = 0; round < rounds; round++) {
        const int64_t task = round * warps + globalThread() / kWarp, line = task / cuts, part = task % cuts;
        const bool mine = task < tasks;
        const T* const source = input + (mine ? in.base(line) : 0);
        const int64_t begin = joins ? 0 : in.length * part / cuts;
        const int64_t end = joins ? plan.parts : in.length * (part + 1) / cuts;
        int64_t at = -1;
        C best{};
        for (int64_t k = begin + lane; mine && k < end; k += kWarp) {
            const int64_t i = joins ? places[line * plan.parts + k] : k;
            const C value = toCompute(source[i * in.step]);
            if (at < 0 || beats(value, i, best, at, plan.largest)) {
                best = value;
                at = i;
            }
        }
        for (int bits = kWarp / 2; bits > 0; bits /= 2) {
            const C other = __shfl_xor_sync(kAllLanes, best, bits);
            const long long place = __shfl_xor_sync(kAllLanes, static_cast<long long>(at), bits);
            if (place >= 0 && (at < 0 || beats(other, static_cast<int64_t>(place), best, at, plan.largest))) {
                best = other;
                at = place;
            }
        }
        if (!mine || lane != 0) continue;
        if (cuts > 1) {
            places[task] = at;
        } else {
            values[plan.outValues.base(line)] = source[at * in.step];
            indices[plan.outIndices.base(line)] = at;
        }
    }
}

constexpr int64_t kWantedWarps = 132 * 4 * (kThreads / kWarp);  // that keep a large GPU busy
constexpr int64_t kLeastPart = 2048;

}  // namespace

void extremum(Context& context, bool largest, const View& values, const View& indices, const View& input,
              int dim) {
    ExtremumPlan plan{Lines(input, dim), Lines(values, dim), Lines(indices, dim), largest, 1};
    if (plan.in.count == 0) return;
    plan.parts = std::clamp<int64_t>(kWantedWarps / plan.in.count, 1,
                                     std::max<int64_t>(plan.in.length / kLeastPart, 1));
    const int64_t parts = plan.parts > 1 ? plan.in.count * plan.parts : 0;
    const Tensor scratch = context.scratch(static_cast<size_t>(parts) * sizeof(int64_t));
    submit(context, largest ? "max" : "min",
           [=, places = static_cast<int64_t*>(scratch.data())](CudaRuntime& runtime) {
               dispatchAll(input.dtype, [&](auto tag) {
                   using T = typename decltype(tag)::type;
                   const auto run = [&](int64_t warps, bool joins) {
                       launchTogether(findExtreme<T>, warpsFor(warps), runtime.stream(), values.as<T>(),
                                      indices.as<int64_t>(), input.as<const T>(), plan, places, joins);
                   };
                   run(plan.in.count * plan.parts, false);
                   if (plan.parts > 1) run(plan.in.count, true);
               });
           });
}

}  // namespace anneal::cuda
