#pragma once

#include "cpu/winograd_blocks.h"

// Convolutions by tiles of M x M outputs, forward and to the input's gradient.
namespace anneal::cpu::winograd {

// Few filters: all are transformed first and stay in the caches, each thread works on tiles of its own.
template <int M, int R = 3, typename T, typename Filter>
void convolveByTiles(const Pictures<T>& out, const Pictures<T>& in, const Filter& taps,
                     const Finish<T>& finish, const int64_t (&padding)[2]) {
    const Tiles<M> tiles(out.count, out.height, out.width);
    const int64_t sources = taps.sources, targets = out.channels;
    const int64_t panels = (targets + kColumns - 1) / kColumns;
    const int64_t filterVectors = targets / kWidth * sources;
    Prepared prepared(Filters::floats<M, R>(sources, panels),
                      Prepared::worthCopying(kCost<M>.filter * filterVectors,
                                             productCost<M, R>(tiles.count, sources, targets)));
    const auto transform = [&](int64_t begin, int64_t end) {
        const Filters filters(prepared.data(), sources, panels);
        for (int64_t index = begin; index < end; index++) {
            const int64_t target = index / sources * kWidth, source = index % sources;
            taps.template transform<M>(
                source, target,
                filters.data + target / kColumns * filters.panel + source * kColumns + target % kColumns,
                filters.plane);
        }
    };
    prepared.together(filterVectors, 64, transform);
    const int64_t block = tilesPerBlock<M, R>(tiles.count, in.channels, kColumns, gemm::kRows);
    const int64_t sourceFloats = Planes<M, R>::floats(block, in.channels);
    const Own memory(kBlockSlot, sourceFloats + Planes<M, R>::floats(block, kColumns, 0));
    parallelFor((tiles.count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
        float* const own = memory.here();
        const Planes<M, R> source(own, block, in.channels), target(own + sourceFloats, block, kColumns, 0);
        prepared.apart(filterVectors, transform);
        const Filters filters(prepared.data(), sources, panels);
        for (int64_t begin = first * block; begin < std::min(last * block, tiles.count); begin += block) {
            const int64_t end = std::min(begin + block, tiles.count);
            gatherInput(source, in, tiles, begin, end, padding);
            for (int64_t channel = 0; channel < targets; channel += kColumns) {
                const float* const panel = filters.data + channel / kColumns * filters.panel;
                const int64_t columns = std::min(kColumns + 0L, targets - channel);
                for (int64_t i = 0; i < kPlanes<M, R>; i++) {
                    gemm::product(end - begin, columns, sources, source.data + i * source.plane, source.row,
                                  1, panel + i * filters.plane, 0, kColumns, target.data + i * target.plane,
                                  target.row, false, kPiece<M, T>);
                }
                scatterOutput(target, out, finish, tiles, begin, end, channel, columns);
            }
        }
    });
}

// Many filters: they would not stay in a cache once transformed, so each thread transforms some of them and
// uses them up on all tiles, which are transformed first.
template <int M, typename T>
void convolveByFilters(const Pictures<T>& out, const Pictures<T>& in, const Taps& taps,
                       const Finish<T>& finish, const int64_t (&padding)[2]) {
    constexpr int64_t kSourcesTogether = 64;
    const Tiles<M> tiles(out.count, out.height, out.width);
    const int64_t sources = in.channels, targets = out.channels;
    const int64_t together = tilesTogether<M>(tiles.count, sources);
    const int64_t filterFloats = Filters::floats<M>(kSourcesTogether, 1);
    const Own memory(kBlockSlot, filterFloats + Planes<M>::floats(together, kColumns, 0));
    for (int64_t start = 0; start < tiles.count; start += together) {
        const int64_t count = std::min(together, tiles.count - start);
        Prepared prepared(Planes<M>::floats(together, sources),
                          Prepared::worthCopying(kCost<M>.patch * count * sources / kWidth,
                                                 productCost<M>(count, sources, targets)));
        const auto gather = [&](int64_t begin, int64_t end) {
            const Planes<M> source(prepared.data(), together, sources);
            gatherInput(source.from(begin), in, tiles, start + begin, start + end, padding);
        };
        prepared.together(count, 4, gather);
        parallelFor((targets + kColumns - 1) / kColumns, 1, [&](int64_t first, int64_t last) {
            float* const own = memory.here();
            const Filters filters(own, kSourcesTogether, 1);
            const Planes<M> source(prepared.data(), together, sources),
                target(own + filterFloats, together, kColumns, 0);
            prepared.apart(count, gather);
            for (int64_t panel = first; panel < last; panel++) {
                const int64_t channel = panel * kColumns,
                              columns = std::min(kColumns + 0L, targets - channel);
                for (int64_t k = 0; k < sources; k += kSourcesTogether) {
                    const int64_t depth = std::min(kSourcesTogether, sources - k);
                    for (int64_t column = 0; column < columns; column += kWidth) {
                        for (int64_t i = 0; i < depth; i++) {
                            taps.transform<M>(k + i, channel + column, filters.data + i * kColumns + column,
                                              filters.plane);
                        }
                    }
                    FiltersAhead next = taps.ahead(k + depth, std::min(kSourcesTogether, sources - k - depth),
                                                   channel, columns);
                    const int64_t lines = next.lines() / kPlanes<M> + 1;
                    for (int64_t i = 0; i < kPlanes<M>; i++) {
                        next.fetch(lines);
                        gemm::product(count, columns, depth, source.data + i * source.plane + k, source.row,
                                      1, filters.data + i * filters.plane, 0, kColumns,
                                      target.data + i * target.plane, target.row, k != 0, kPiece<M, T>);
                    }
                }
                scatterOutput(target, out, finish, tiles, start, start + count, channel, columns);
            }
        });
    }
}

}  // namespace anneal::cpu::winograd
