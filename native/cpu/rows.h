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

// Rows cut into chunks, within segments (pictures) that are summed apart. The borders depend on sizes alone.
struct Chunks {
    int64_t rows, perSegment, count, segmentRows;
    Chunks(int64_t total, int64_t rowBytes, int64_t segments = 1)
        : segmentRows(segments > 0 ? total / segments : 0) {
        const int64_t fitting = kChunkBytes / std::max<int64_t>(rowBytes, 1);
        rows = std::max({fitting, (segmentRows + kMostChunks - 1) / kMostChunks, int64_t{16}});
        perSegment = (segmentRows + rows - 1) / rows;
        count = perSegment * segments;
    }
    int64_t segment(int64_t chunk) const { return chunk / perSegment; }
    int64_t begin(int64_t chunk) const { return segment(chunk) * segmentRows + chunk % perSegment * rows; }
    int64_t end(int64_t chunk) const {
        return std::min(begin(chunk) + rows, (segment(chunk) + 1) * segmentRows);
    }
    int64_t size(int64_t chunk) const { return end(chunk) - begin(chunk); }
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
void sumRows(const Chunks& chunks, const ChunkSums& sums, const Start& start, const Add& add) {
    const int64_t channels = sums.channels;
    parallelFor(chunks.count, 1, [&](int64_t firstChunk, int64_t lastChunk) {
        std::vector<C> block(2 * channels);
        C *const a = block.data(), *const b = a + channels;
        for (int64_t chunk = firstChunk; chunk < lastChunk; chunk++) {
            double* const totals = sums.first(chunk);
            std::fill(totals, totals + 2 * channels, 0.0);
            const int64_t begin = chunks.begin(chunk), end = chunks.end(chunk);
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

constexpr int64_t kShiftRows = 8;

// Sums of x - k and its square, where k is the mean of the chunk's first rows, kept in `shifts`
// [chunk][channel]. As k lies among the values, the squares exceed the variance by a factor of the number of
// rows at the very worst, and hardly ever do: nothing cancels.
template <typename T>
void sumSquares(const T* input, const Chunks& chunks, const ChunkSums& sums, Compute<T>* shifts) {
    using namespace simd;
    using C = Compute<T>;
    const int64_t channels = sums.channels;
    const auto findShift = [=](int64_t chunk, int64_t begin, int64_t end) {
        const T* const x = input + begin * channels;
        C* const shift = shifts + chunk * channels;
        const int64_t count = std::min(kShiftRows, end - begin);
        forLanes<C>(channels, [=](int64_t c, auto lanes) {
            Vector<C> sum = {};
            for (int64_t row = 0; row < count; row++) sum += load(x + row * channels + c, lanes);
            store(shift + c, sum / static_cast<C>(count), lanes);
        });
    };
    sumRows<C, 8>(chunks, sums, findShift, [=](int64_t chunk, int64_t row, auto count, C* sum, C* square) {
        const C* const shift = shifts + chunk * channels;
        const T* const x = input + row * channels;
        forLanes<C>(channels, [=](int64_t c, auto lanes) {
            const auto k = load(shift + c, lanes);
            auto s = load(sum + c, lanes), q = load(square + c, lanes);
            for (int u = 0; u < count; u++) {
                const auto d = load(x + u * channels + c, lanes) - k;
                s += d;
                q += d * d;
            }
            store(sum + c, s, lanes);
            store(square + c, q, lanes);
        });
    });
}

// As forRows over all rows on the whole team, the last ones first: the pass before has left them in the
// cache.
template <int kTogether, typename Body>
void mapRows(int64_t rows, int64_t channels, const Body& body) {
    const int64_t grain =
        std::max<int64_t>(kTogether, kGrain / std::max<int64_t>(channels, 1) / kTogether * kTogether);
    parallelFor(
        rows, grain, [&](int64_t begin, int64_t end) { forRows<kTogether>(begin, end, body); }, true);
}

}  // namespace anneal::cpu
