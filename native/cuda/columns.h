#pragma once

#include "cuda/row_teams.h"
#include "cuda/submit.h"

// Sums down the columns of dense memory [segments, rows, columns], for each segment apart. The threads of a
// block are neighbouring columns in several slices of the rows; rows may be shared out to several blocks
// ("parts"). What comes of it, and in which order, depends on sizes alone.
namespace anneal::cuda {

struct PairOfSums {
    double first = 0, second = 0;
    __device__ void merge(const PairOfSums& other) {
        first += other.first;
        second += other.second;
    }
};

// Mean and sum of squared deviations of `count` values; merged as Chan, Golub and LeVeque (1979) do.
struct Moments {
    double count = 0, mean = 0, squares = 0;
    __device__ void merge(const Moments& other) {
        if (other.count == 0) return;
        const double total = count + other.count, delta = other.mean - mean;
        squares += other.squares + delta * delta * count * other.count / total;
        mean += delta * other.count / total;
        count = total;
    }
};

constexpr int64_t kRowsAtOnce = 32;  // summed in the type computed in before going to double

struct ColumnPlan {
    int64_t segments, rows, columns, tiles;
    int parts = 1;
    unsigned lanes = 1, slices = 1;  // columns of a block, and how many share out the rows of each

    ColumnPlan(int64_t segments, int64_t rows, int64_t columns)
        : segments(segments), rows(rows), columns(columns) {
        while (lanes < columns && lanes < kWarp) lanes *= 2;
        tiles = (columns + lanes - 1) / lanes;
        while (slices < rows && slices * lanes < kThreads) slices *= 2;
        constexpr int64_t kWanted = 132 * 8;  // blocks that keep a large GPU busy
        parts = static_cast<int>(std::clamp<int64_t>(kWanted / std::max<int64_t>(segments * tiles, 1), 1,
                                                     std::max<int64_t>(rows / (slices * kRowsAtOnce), 1)));
    }
    int64_t tasks() const { return segments * parts * tiles; }
    int64_t states() const { return segments * parts * columns; }
    Grid grid(size_t stateBytes) const {
        Grid result = blocksFor(tasks(), kThreads, lanes * slices * stateBytes);
        result.threads = dim3(lanes, slices);
        return result;
    }
};

// states[segment, part, column]: what add(state, segment, column, first row, rows' end, step) finds.
template <typename State, typename Add>
__global__ void sumColumns(State* states, ColumnPlan plan, Add add) {
    State* const scratch = sharedMemory<State>();
    const int64_t tasks = plan.segments * plan.parts * plan.tiles;
    for (int64_t task = blockIdx.x; task < tasks; task += gridDim.x) {
        const int64_t column = task % plan.tiles * plan.lanes + threadIdx.x, group = task / plan.tiles;
        const int64_t part = group % plan.parts, segment = group / plan.parts;
        const int64_t begin = plan.rows * part / plan.parts, end = plan.rows * (part + 1) / plan.parts;
        State state;
        if (column < plan.columns) add(state, segment, column, begin + threadIdx.y, end, blockDim.y);
        scratch[threadIdx.y * blockDim.x + threadIdx.x] = state;
        __syncthreads();
        if (threadIdx.y == 0 && column < plan.columns) {
            for (unsigned slice = 1; slice < blockDim.y; slice++)
                state.merge(scratch[slice * blockDim.x + threadIdx.x]);
            states[group * plan.columns + column] = state;
        }
        __syncthreads();
    }
}

// body(row) in runs of kRowsAtOnce; flush() after each.
template <typename Body, typename Flush>
__device__ inline void forRowsOfSlice(int64_t first, int64_t end, int64_t step, const Body& body,
                                      const Flush& flush) {
    for (int64_t start = first; start < end; start += step * kRowsAtOnce) {
        const int64_t last = start + step * kRowsAtOnce < end ? start + step * kRowsAtOnce : end;
#pragma unroll 4
        for (int64_t row = start; row < last; row += step) body(row);
        flush();
    }
}

// Threads to join `states` by: a power of two, each with a few of them.
inline int joinThreads(int64_t states) {
    int threads = 1;
    while (threads < 128 && threads * 4 < states) threads *= 2;
    return threads;
}

// The first thread of a block has all states joined. `scratch` holds one for each thread, a power of two of
// them.
template <typename State>
__device__ inline State joinStates(State state, State* scratch) {
    scratch[threadIdx.x] = state;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            state.merge(scratch[threadIdx.x + half]);
            scratch[threadIdx.x] = state;
        }
        __syncthreads();
    }
    return state;
}

}  // namespace anneal::cuda
