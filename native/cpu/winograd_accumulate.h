#pragma once

#include "cpu/winograd_blocks.h"

// The gradient of the filters by tiles of M x M outputs.
namespace anneal::cpu::winograd {

template <int M, int R = 3>
int64_t floatsFor(int64_t tiles, int64_t sources, int64_t targets) {
    return Planes<M, R>::floats(tiles, sources) + Planes<M, R>::floats(tiles, targets);
}

// Few filters: each thread sums a part over tiles of its own. Which tiles go into which sum is fixed, so that
// results do not depend on timing. Calls take(output, input, at) for each vector of outputs and each input,
// where at(i) is the sum for plane i.
template <int M, int R = 3, typename T, typename Take>
void sumByTiles(const Pictures<T>& gradient, const Pictures<T>& in, int64_t inputs,
                const int64_t (&padding)[2], const Take& take) {
    const Tiles<M> tiles(gradient.count, gradient.height, gradient.width);
    const int64_t outputs = gradient.channels, parts = omp_get_max_threads();
    const int64_t plane = inputs * outputs, partFloats = kPlanes<M, R> * plane;
    constexpr int64_t kLeastSummed = 2 * gemm::kRows;  // products: each block goes through all sums
    const int64_t perPart = (tiles.count + parts - 1) / parts;
    const int64_t block = tilesPerBlock<M, R>(tiles.count, in.channels, outputs, kLeastSummed);
    const Own blocks(kBlockSlot, floatsFor<M, R>(block, in.channels, outputs)), sums(kAcrossSlot, partFloats);
    parallelFor(parts, 1, [&](int64_t firstPart, int64_t lastPart) {
        for (int64_t part = firstPart; part < lastPart; part++) {
            float *const own = blocks.of(part), *const sum = sums.of(part);
            const Planes<M, R> source(own, block, in.channels),
                target(own + Planes<M, R>::floats(block, in.channels), block, outputs);
            const int64_t start = part * perPart, stop = std::min(start + perPart, tiles.count);
            if (start >= stop) std::fill_n(sum, partFloats, 0.0f);
            for (int64_t begin = start; begin < stop; begin += block) {
                const int64_t end = std::min(begin + block, stop);
                gatherInput(source, in, tiles, begin, end, padding);
                gatherGradient(target, gradient, tiles, begin, end, 0, outputs);
                for (int64_t i = 0; i < kPlanes<M, R>; i++) {
                    gemm::product(inputs, outputs, end - begin, source.data + i * source.plane, 1, source.row,
                                  target.data + i * target.plane, kColumns, target.row, sum + i * plane,
                                  outputs, begin != start, block);
                }
            }
        }
    });
    parallelFor(outputs / kWidth * inputs, 64, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t output = index / inputs * kWidth, input = index % inputs;
            const int64_t place = input * outputs + output;
            const float* const first = sums.of(0) + place;
            take(
                output, input, [&](int64_t i) __attribute__((always_inline)) {
                    V sum = simd::load(first + i * plane);
                    for (int64_t part = 1; part < parts; part++)
                        sum += simd::load(sums.of(part) + place + i * plane);
                    return sum;
                });
        }
    });
}

template <int M, typename T>
void accumulateByTiles(const View& gradWeight, const Pictures<T>& gradient, const Pictures<T>& in,
                       const int64_t (&padding)[2]) {
    float* const weight = gradWeight.as<float>();
    const int64_t inputs = in.channels;
    sumByTiles<M>(gradient, in, inputs, padding, [&](int64_t output, int64_t input, const auto& at) {
        finishFilter<M>(weight + (output * inputs + input) * 9, inputs * 9, at, false);
    });
}

// Many filters: all tiles of the input are transformed first, and each thread sums some of the filters'
// gradients over them.
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
                  panelFloats = Planes<M>::floats(together, kColumns);
    const int64_t panels = (outputs + kColumns - 1) / kColumns,
                  blocks = (inputs + kInputsTogether - 1) / kInputsTogether;
    // With enough panels for all threads each transforms the gradient's channels of one as it comes to it.
    const bool wholePanels = panels >= 2 * omp_get_max_threads();
    const int64_t unit = wholePanels ? blocks : 1;
    const Own memory(kBlockSlot, kPlanes<M> * kPlane + (wholePanels ? panelFloats : 0));
    const bool streaming = together == tiles.count && inputs % FilterLines::kInputs == 0 &&
                           simd::worthStreaming(weight, gradWeight.numel());

    // Of a panel of outputs and a block of inputs, over the tiles of a round, the first of them or a later.
    const auto accumulate = [&](const Planes<M>& source, const Planes<M>& target, int64_t output,
                                int64_t input, int64_t count, bool more, float* sums) {
        const int64_t columns = std::min(kColumns + 0L, outputs - output),
                      rows = std::min(kInputsTogether, inputs - input);
        for (int64_t i = 0; i < kPlanes<M>; i++) {
            gemm::product(rows, columns, count, source.data + i * source.plane + input, 1, source.row,
                          target.data + i * target.plane, 0, target.row, sums + i * kPlane, kColumns, false,
                          kSummed);
        }
        for (int64_t column = 0; column < columns; column += kWidth) {
            float* const to = weight + ((output + column) * inputs + input) * 9;
            finishFilters<M>(to, inputs * 9, rows, Sums{sums + column, kPlane}, kColumns, more, streaming);
        }
    };

    for (int64_t start = 0; start < tiles.count; start += together) {
        const int64_t count = std::min(together, tiles.count - start);
        const bool copied = wholePanels && Prepared::worthCopying(kCost<M>.patch * count * inputs / kWidth,
                                                                  productCost<M>(count, inputs, outputs));
        Prepared prepared(sourceFloats + (wholePanels ? 0 : panels * panelFloats), copied);
        const auto gather = [&](int64_t begin, int64_t end) {
            const Planes<M> source(prepared.data(), together, inputs);
            gatherInput(source.from(begin), in, tiles, start + begin, start + end, padding);
        };
        const auto gatherPanel = [&](const Planes<M>& target, int64_t panel, int64_t begin, int64_t end) {
            const int64_t output = panel * kColumns;
            gatherGradient(target.from(begin), gradient, tiles, start + begin, start + end, output,
                           std::min(kColumns + 0L, outputs - output));
        };
        const auto panelOf = [&](int64_t panel) {
            return Planes<M>(prepared.data() + sourceFloats + panel * panelFloats, together, kColumns);
        };
        prepared.together(count, 4, [&](int64_t begin, int64_t end) {
            gather(begin, end);
            for (int64_t panel = 0; panel < panels && !wholePanels; panel++)
                gatherPanel(panelOf(panel), panel, begin, end);
        });
        parallelFor(panels * blocks / unit, 1, [&](int64_t first, int64_t last) {
            float* const own = memory.here();
            const Planes<M> source(prepared.data(), together, inputs);
            prepared.apart(count, gather);
            for (int64_t index = first * unit; index < last * unit; index++) {
                const int64_t panel = index / blocks, block = index % blocks;
                const Planes<M> target =
                    wholePanels ? Planes<M>(own + kPlanes<M> * kPlane, together, kColumns) : panelOf(panel);
                if (wholePanels && block == 0) gatherPanel(target, panel, 0, count);
                accumulate(source, target, panel * kColumns, block * kInputsTogether, count, start != 0, own);
            }
            if (streaming) simd::streamed();
        });
    }
}

}  // namespace anneal::cpu::winograd
