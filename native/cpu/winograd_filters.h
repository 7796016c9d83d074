#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "cpu/gemm_tile.h"
#include "cpu/winograd_planes.h"

// Filters into their transforms, in the order that matrix products take, and the gradient of filters back.
namespace anneal::cpu::winograd {

using gemm::kColumns;

// G g G^T, row by row to put(value).
template <int M, int R, typename Put>
ANNEAL_INLINE void transformFilter(const V (&taps)[R][R], const Put& put) {
    using S = Scheme<M, R>;
    if constexpr (M < 7) {
        transformPatch<R, M + R - 1>([&](int i, int j) { return taps[i][j]; }, S::filter,
                                     [&](int, int, V value) { put(value); });
    } else {
        // Two rows at a time stay in registers: storing takes longer than the arithmetic.
        const auto row = [&](const V(&from)[R]) __attribute__((always_inline)) {
            V to[M + R - 1];
            S::filter(from, to);
#pragma GCC unroll 10
            for (V value : to) put(value);
        };
        if (S::kZero) row(taps[0]);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            V positive[R], negative[R];
#pragma GCC unroll 4
            for (int j = 0; j < R; j++) {
                V column[R];
#pragma GCC unroll 4
                for (int k = 0; k < R; k++) column[k] = taps[k][j];
                S::filterAt(i, column, positive[j], negative[j]);
            }
            row(positive), row(negative);
        }
        row(taps[R - 1]);
    }
}

// G^T u G of the elements that at(index) gives.
template <int M, int R, typename At>
ANNEAL_INLINE void gatherFilter(const At& at, V (&taps)[R][R]) {
    constexpr int kLines = M + R - 1;
    transformPatch<kLines, R>([&](int i, int j) { return at(i * kLines + j); }, Scheme<M, R>::filterAdjoint,
                              [&](int i, int j, V value) { taps[i][j] = value; });
}

// Where a transformed filter's planes lie: panels of kColumns targets, [source][kColumns] each.
struct Filters {
    float* data;
    int64_t panel, plane;
    Filters(float* data, int64_t sources, int64_t panels)
        : data(data), panel(sources * kColumns), plane(panels * sources * kColumns + kPad) {}
    template <int M, int R = 3>
    static int64_t floats(int64_t sources, int64_t panels) {
        return kPlanes<M, R> * (panels * sources * kColumns + kPad);
    }
};

// Filters that are fetched ahead of those that are transformed: where they follow each other in memory, and
// where each step goes to other rows, whole vectors of them.
constexpr int64_t kFollowingAhead = 8, kVectorsAhead = 2;

// Filters that come next, brought into the second-level cache a few lines at a time between the products that
// keep the processor busy: it foresees neither the way from row to row nor that from block to block.
class FiltersAhead {
  public:
    // `rows` rows of so many bytes, `step` floats apart.
    FiltersAhead(const float* first, int64_t rows, int64_t bytes, int64_t step)
        : row_(reinterpret_cast<const char*>(first)),
          rows_(bytes > 0 ? rows : 0),
          bytes_(bytes),
          step_(step * static_cast<int64_t>(sizeof(float))) {}
    int64_t lines() const { return rows_ * ((bytes_ + kLine - 1) / kLine); }
    void fetch(int64_t lines) {
        constexpr int kRead = 0, kSecondLevel = 2;
        for (; lines > 0 && rows_ > 0; lines--) {
            __builtin_prefetch(row_ + at_, kRead, kSecondLevel);
            at_ += kLine;
            if (at_ >= bytes_) at_ = 0, row_ += step_, rows_--;
        }
    }

  private:
    static constexpr int64_t kLine = 64;
    const char* row_;
    int64_t rows_, bytes_, step_, at_ = 0;
};

// The filters of a convolution, [outputs][inputs][3][3]. Backward they lead from the outputs' channels to the
// inputs', turned by half a circle.
struct Taps {
    const float* data;
    int64_t sources, sourceStep, targetStep;
    bool backward;
    const float* scale;  // of each target, or null
    Taps(const View& weight, bool backward, const float* scale = nullptr)
        : data(weight.as<const float>()),
          sources(weight.sizes[backward ? 0 : 1]),
          sourceStep(backward ? weight.sizes[1] * 9 : 9),
          targetStep(backward ? 9 : weight.sizes[1] * 9),
          backward(backward),
          scale(scale) {}

    FiltersAhead ahead(int64_t source, int64_t sources, int64_t target, int64_t targets) const {
        constexpr int64_t kBytes = 9 * sizeof(float);
        const float* const first = data + target * targetStep + source * sourceStep;
        return backward ? FiltersAhead(first, sources, targets * kBytes, sourceStep)
                        : FiltersAhead(first, targets, sources * kBytes, targetStep);
    }

    // Those of `source` and of the vector of targets from `target` on, transformed, to `to`.
    template <int M>
    void transform(int64_t source, int64_t target, float* to, int64_t plane) const {
        V taps[9], turned[3][3];
        const float* const from = data + target * targetStep + source * sourceStep;
        prefetchTaps<0>(from + (backward ? kVectorsAhead : kFollowingAhead) * sourceStep, targetStep);
        loadTaps(from, targetStep, taps);
        if (scale) {
            const V factor = simd::load(scale + target);
            for (V& tap : taps) tap *= factor;
        }
#pragma GCC unroll 9
        for (int i = 0; i < 9; i++) turned[i / 3][i % 3] = taps[backward ? 8 - i : i];
        transformFilter<M>(turned, [&](V value) { simd::store(to, value), to += plane; });
    }
};

// The transformed gradient of a vector of filters: element by element, in planes.
struct Sums {
    const float* data;
    int64_t plane;
    Sums from(int64_t offset) const { return {data + offset, plane}; }
    V operator()(int64_t index) const { return simd::load(data + index * plane); }
};

// The gradient of a vector of filters from the elements of its transform, added to what stands there if
// `more`.
template <int M, typename At>
void finishFilter(float* to, int64_t step, const At& at, bool more) {
    V sum[3][3], taps[9], before[9];
    prefetchTaps<1>(to + kFollowingAhead * 9, step);
    gatherFilter<M>(at, sum);
#pragma GCC unroll 9
    for (int i = 0; i < 9; i++) taps[i] = sum[i / 3][i % 3];
    if (more) {
        loadTaps(to, step, before);
        for (int i = 0; i < 9; i++) taps[i] += before[i];
    }
    storeTaps(to, step, taps);
}

// The gradients of a vector of filters for as many inputs as fill whole cache lines, on their way to memory.
struct FilterLines {
    static constexpr int64_t kInputs = 16, kFloats = kInputs * 9;
    alignas(64) float rows[simd::Lanes<float>::kCount][kFloats];

    void stream(float* to, int64_t step) const {
        for (const auto& row : rows) {
            for (int64_t i = 0; i < kFloats; i += simd::Lanes<float>::kCount)
                simd::stream(to + i, simd::load(row + i));
            to += step;
        }
    }
};

// The gradients of a vector of filters for `inputs` inputs, whose sums lie `sumStep` apart; past the caches
// if `streaming`, which replaces what stands there.
template <int M>
void finishFilters(float* to, int64_t step, int64_t inputs, const Sums& sums, int64_t sumStep, bool more,
                   bool streaming) {
    if (!streaming) {
        for (int64_t i = 0; i < inputs; i++) finishFilter<M>(to + i * 9, step, sums.from(i * sumStep), more);
        return;
    }
    FilterLines lines;
    for (int64_t begin = 0; begin < inputs; begin += lines.kInputs) {
        for (int64_t i = 0; i < lines.kInputs; i++)
            finishFilter<M>(lines.rows[0] + i * 9, lines.kFloats, sums.from((begin + i) * sumStep), false);
        lines.stream(to + begin * 9, step);
    }
}

}  // namespace anneal::cpu::winograd
