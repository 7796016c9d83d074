#pragma once

#include <cstdint>

#include "core/tensor.h"
#include "cpu/gemm_tile.h"
#include "cpu/winograd_planes.h"

// Filters into their transforms, in the order that matrix products take, and the gradient of filters back.
namespace anneal::cpu::winograd {

using gemm::kColumns;

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

    // Those of `source` and of the vector of targets from `target` on, transformed, to `to`.
    template <int M>
    void transform(int64_t source, int64_t target, float* to, int64_t plane) const {
        V taps[9];
        const float* const from = data + target * targetStep + source * sourceStep;
        prefetchTaps<0>(from + (backward ? kVectorsAhead : kFollowingAhead) * sourceStep, targetStep);
        loadTaps(from, targetStep, taps);
        if (scale) {
            const V factor = simd::load(scale + target);
            for (V& tap : taps) tap *= factor;
        }
        transformPatch<3, M + 2>(
            [&](int i, int j) { return taps[backward ? 8 - (3 * i + j) : 3 * i + j]; }, Scheme<M>::filter,
            [&](int i, int j, V value) { simd::store(to + (i * (M + 2) + j) * plane, value); });
    }
};

// The transformed gradient of a vector of filters: the sum of `parts` that lie `partStep` apart.
struct Sums {
    const float* data;
    int64_t plane, parts = 1, partStep = 0;
    V at(int64_t index) const {
        const float* const from = data + index * plane;
        V sum = simd::load(from);
        for (int64_t part = 1; part < parts; part++) sum += simd::load(from + part * partStep);
        return sum;
    }
};

// The gradient of a vector of filters from its transform, added to what stands there if `more`.
template <int M>
void finishFilter(float* to, int64_t step, const Sums& sums, bool more) {
    V taps[9], before[9];
    prefetchTaps<1>(to + kFollowingAhead * 9, step);
    transformPatch<M + 2, 3>([&](int i, int j) { return sums.at(i * (M + 2) + j); }, Scheme<M>::filterAdjoint,
                             [&](int i, int j, V value) { taps[3 * i + j] = value; });
    if (more) {
        loadTaps(to, step, before);
        for (int i = 0; i < 9; i++) taps[i] += before[i];
    }
    storeTaps(to, step, taps);
}

}  // namespace anneal::cpu::winograd
