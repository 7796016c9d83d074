#pragma once

#include <algorithm>
#include <type_traits>
#include <vector>

#include "core/tensor.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Walks matrices of [rows, channels] for the normalisations: sums for each channel, and row by row.
namespace anneal::cpu {

constexpr int64_t kChunkBytes =
    128 * 1024;  // what a thread takes at a time while summing: it stays in its L2 cache
constexpr int64_t kMostChunks = 64;
constexpr int64_t kBlockRows = 64;  // rows summed in the compute type before going to double

// An optional operand's memory.
template <typename T>
T* dataOf(const View* view) {
    return view ? view->as<T>() : nullptr;
}

struct Chunks {
    int64_t rows, count;
    Chunks(int64_t total, int64_t rowBytes) {
        const int64_t fitting = kChunkBytes / std::max<int64_t>(rowBytes, 1);
        rows = std::max({fitting, (total + kMostChunks - 1) / kMostChunks, int64_t{16}});
        count = (total + rows - 1) / rows;
    }
};

// Two sums for each channel over the rows of every chunk, in double: [chunk][2][channel].
struct ChunkSums {
    double* data;
    int64_t channels;
    double* first(int64_t chunk) const { return data + chunk * 2 * channels; }
    double* second(int64_t chunk) const { return first(chunk) + channels; }

    static size_t bytes(const Chunks& chunks, int64_t channels) {
        return chunks.count * 2 * channels * sizeof(double);
    }
};

// Calls body(row, count) for rows [begin, end), most of them `kTogether` at a time with a constant count:
// values that belong to a channel are then loaded once for all of these.
template <int kTogether, typename Body>
ANNEAL_INLINE void forRows(int64_t begin, int64_t end, const Body& body) {
    int64_t row = begin;
    for (; row + kTogether <= end; row += kTogether) body(row, std::integral_constant<int, kTogether>{});
    for (; row < end; row++) body(row, std::integral_constant<int, 1>{});
}

// Fills `sums` through add(chunk, row, count, a, b), which adds what `count` rows contribute to the running
// sums a and b of the compute type. start(chunk, row, end) is called before a chunk's rows.
template <typename C, int kTogether, typename Start, typename Add>
void sumRows(int64_t rows, const Chunks& chunks, const ChunkSums& sums, const Start& start, const Add& add) {
    const int64_t channels = sums.channels;
    parallelFor(chunks.count, 1, [&](int64_t firstChunk, int64_t lastChunk) {
        std::vector<C> block(2 * channels);
        C *const a = block.data(), *const b = a + channels;
        for (int64_t chunk = firstChunk; chunk < lastChunk; chunk++) {
            double* const totals = sums.first(chunk);
            std::fill(totals, totals + 2 * channels, 0.0);
            const int64_t begin = chunk * chunks.rows, end = std::min(rows, begin + chunks.rows);
            start(chunk, begin, end);
            for (int64_t row = begin; row < end; row += kBlockRows) {
                std::fill(block.begin(), block.end(), C(0));
                forRows<kTogether>(row, std::min(end, row + kBlockRows),
                                   [=](int64_t first, auto count) { add(chunk, first, count, a, b); });
                for (int64_t c = 0; c < 2 * channels; c++) totals[c] += a[c];
            }
        }
    });
}

// As forRows over all rows on the whole team; `fromBack` starts with the last rows, which a pass that went
// before may have left in the cache.
template <int kTogether, typename Body>
void mapRows(int64_t rows, int64_t channels, bool fromBack, const Body& body) {
    const int64_t grain =
        std::max<int64_t>(kTogether, kGrain / std::max<int64_t>(channels, 1) / kTogether * kTogether);
    const int64_t chunks = (rows + grain - 1) / grain;
    parallelFor(chunks, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            const int64_t chunk = fromBack ? chunks - 1 - i : i;
            forRows<kTogether>(chunk * grain, std::min(rows, (chunk + 1) * grain), body);
        }
    });
}

}  // namespace anneal::cpu
