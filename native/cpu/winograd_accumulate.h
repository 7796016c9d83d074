#pragma once

#include "cpu/winograd_blocks.h"

// The gradient of the filters by tiles of M x M outputs.
namespace anneal::cpu::winograd {

template <int M, int R = 3>
int64_t floatsFor(int64_t tiles, int64_t sources, int64_t targets) {
    return Planes<M, R>::floats(tiles, sources) + Planes<M, R>::floats(tiles, targets);
}

// Few filters: each thread sums a part over tiles of its own. Which tiles go into which sum is fixed, so that
// results do not depend on timing. Hands the sums for a vector of outputs and one input to `take`.
template <int M, int R = 3, typename T, typename Take>
void sumByTiles(const Pictures<T>& gradient, const Pictures<T>& in, int64_t inputs,
                const int64_t (&padding)[2], const Take& take) {
    const Tiles<M> tiles(gradient.count, gradient.height, gradient.width);
    const int64_t outputs = gradient.channels, parts = omp_get_max_threads();
    const int64_t plane = inputs * outputs, partFloats = kPlanes<M, R> * plane;
    float* const sums = scratchFloats(0, parts * partFloats);
    const int64_t perPart = (tiles.count + parts - 1) / parts;
    const int64_t block = tilesPerBlock<M, R>(tiles.count, in.channels, outputs);
    const int64_t each = floatsFor<M, R>(block, in.channels, outputs);
    float* const memory = scratchFloats(1, each * parts);
    parallelFor(parts, 1, [&](int64_t firstPart, int64_t lastPart) {
        for (int64_t part = firstPart; part < lastPart; part++) {
            float* const own = memory + part * each;
            const Planes<M, R> source(own, block, in.channels),
                target(own + Planes<M, R>::floats(block, in.channels), block, outputs);
            const int64_t start = part * perPart, stop = std::min(start + perPart, tiles.count);
            if (start >= stop) std::fill_n(sums + part * partFloats, partFloats, 0.0f);
            for (int64_t begin = start; begin < stop; begin += block) {
                const int64_t end = std::min(begin + block, stop);
                gatherInput(source, in, tiles, begin, end, padding);
                gatherGradient(target, gradient, tiles, begin, end, 0, outputs);
                for (int64_t i = 0; i < kPlanes<M, R>; i++) {
                    gemm::product(inputs, outputs, end - begin, source.data + i * source.plane, 1, source.row,
                                  target.data + i * target.plane, kColumns, target.row,
                                  sums + part * partFloats + i * plane, outputs, begin != start, block);
                }
            }
        }
    });
    parallelFor(outputs / kWidth * inputs, 64, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t output = index / inputs * kWidth, input = index % inputs;
            take(output, input, Sums{sums + input * outputs + output, plane, parts, partFloats});
        }
    });
}

template <int M, typename T>
void accumulateByTiles(const View& gradWeight, const Pictures<T>& gradient, const Pictures<T>& in,
                       const int64_t (&padding)[2]) {
    float* const weight = gradWeight.as<float>();
    const int64_t inputs = in.channels;
    sumByTiles<M>(gradient, in, inputs, padding, [&](int64_t output, int64_t input, const Sums& sums) {
        finishFilter<M>(weight + (output * inputs + input) * 9, inputs * 9, sums, false);
    });
}

// Many filters: each thread sums some of the filters' gradients over all tiles, which it transforms itself as
// far as it needs them: what another thread has written comes from its caches, and slowly where the cores
// share none.
template <int M, typename T>
void accumulateByFilters(const View& gradWeight, const Pictures<T>& gradient, const Pictures<T>& in,
                         const int64_t (&padding)[2]) {
    constexpr int64_t kInputsTogether = 4 * gemm::kRows;
    constexpr int64_t kSummed = std::is_same_v<T, BFloat16> ? 1024 : 24;  // products, in one go
    const Tiles<M> tiles(gradient.count, gradient.height, gradient.width);
    const int64_t inputs = in.channels, outputs = gradient.channels;
    const int64_t together = tilesTogether<M>(tiles.count, inputs);
    float* const weight = gradWeight.as<float>();
    constexpr int64_t kPlane = kInputsTogether * kColumns + kPad;
    const int64_t sourceFloats = Planes<M>::floats(together, inputs),
                  targetFloats = Planes<M>::floats(together, kColumns);
    const int64_t each = sourceFloats + targetFloats + kPlanes<M> * kPlane;
    float* const memory = scratchFloats(1, each * omp_get_max_threads());
    const bool streaming =
        together == tiles.count && inputs % FilterLines::kInputs == 0 && streams(weight, gradWeight.numel());
    for (int64_t start = 0; start < tiles.count; start += together) {
        const int64_t count = std::min(together, tiles.count - start);
        std::vector<char> gathered(omp_get_max_threads());
        parallelFor((outputs + kColumns - 1) / kColumns, 1, [&](int64_t first, int64_t last) {
            const int thread = omp_get_thread_num();
            float* const own = memory + thread * each;
            float* const sums = own + sourceFloats + targetFloats;
            const Planes<M> source(own, together, inputs), target(own + sourceFloats, together, kColumns);
            if (!gathered[thread]) gatherInput(source, in, tiles, start, start + count, padding);
            gathered[thread] = true;
            for (int64_t panel = first; panel < last; panel++) {
                const int64_t output = panel * kColumns, columns = std::min(kColumns + 0L, outputs - output);
                gatherGradient(target, gradient, tiles, start, start + count, output, columns);
                for (int64_t input = 0; input < inputs; input += kInputsTogether) {
                    const int64_t rows = std::min(kInputsTogether, inputs - input);
                    for (int64_t i = 0; i < kPlanes<M>; i++) {
                        gemm::product(rows, columns, count, source.data + i * source.plane + input, 1,
                                      source.row, target.data + i * target.plane, 0, target.row,
                                      sums + i * kPlane, kColumns, false, kSummed);
                    }
                    for (int64_t column = 0; column < columns; column += kWidth) {
                        float* const to = weight + ((output + column) * inputs + input) * 9;
                        const Sums sum{sums + column, kPlane};
                        if (!streaming) {
                            for (int64_t row = 0; row < rows; row++)
                                finishFilter<M>(to + row * 9, inputs * 9, sum.from(row * kColumns),
                                                start != 0);
                            continue;
                        }
                        FilterLines lines;
                        for (int64_t row = 0; row < rows; row += lines.kInputs) {
                            for (int64_t i = 0; i < lines.kInputs; i++)
                                finishFilter<M>(lines.rows[0] + i * 9, lines.kFloats,
                                                sum.from((row + i) * kColumns), false);
                            lines.stream(to + row * 9, inputs * 9);
                        }
                    }
                }
            }
            if (streaming) simd::streamed();
        });
    }
}

}  // namespace anneal::cpu::winograd
