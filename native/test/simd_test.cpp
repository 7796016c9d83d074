#include <cmath>

#include "cpu/simd.h"
#include "cpu/winograd_large_tiles.h"
#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

// What differs from one instruction set to the next, on that which this build is for.
namespace anneal::cpu {

namespace {

using V = simd::Vector<float>;
constexpr int kWidth = simd::Lanes<float>::kCount;

TEST("simd: transpose exchanges rows and columns") {
    float matrix[kWidth * kWidth];
    for (int i = 0; i < kWidth * kWidth; i++) matrix[i] = static_cast<float>(i);
    V rows[kWidth];
    for (int i = 0; i < kWidth; i++) rows[i] = simd::load(matrix + i * kWidth);
    simd::transpose(rows);
    for (int i = 0; i < kWidth; i++) {
        for (int j = 0; j < kWidth; j++) CHECK_EQUAL(rows[i][j], matrix[j * kWidth + i]);
    }
}

TEST("simd: sums of lanes") {
    V rows[kWidth];
    for (int i = 0; i < kWidth; i++) {
        float lanes[kWidth];
        for (int j = 0; j < kWidth; j++) lanes[j] = static_cast<float>((i + 1) * (j + 2));
        rows[i] = simd::load(lanes);
    }
    const V sums = simd::sumsOfLanes(rows);
    for (int i = 0; i < kWidth; i++)
        CHECK_EQUAL(sums[i], static_cast<float>((i + 1) * (kWidth * (kWidth + 3) / 2)));
}

TEST("simd: parts of vectors touch nothing else") {
    float values[kWidth];
    for (int i = 0; i < kWidth; i++) values[i] = static_cast<float>(i + 1);
    for (int count = 1; count <= kWidth; count++) {
        const V part = simd::load(values, simd::Part{count});
        float written[kWidth + 2];
        for (float& value : written) value = -1;
        simd::store(written + 1, simd::load(values), simd::Part{count});
        CHECK_EQUAL(written[0], -1.0f);
        for (int i = 0; i < kWidth; i++) {
            CHECK_EQUAL(part[i], i < count ? values[i] : 0.0f);
            CHECK_EQUAL(written[i + 1], i < count ? values[i] : -1.0f);
        }
        CHECK_EQUAL(written[kWidth + 1], -1.0f);
    }
}

TEST("simd: parts of indices touch nothing else") {
    uint8_t indices[kWidth];
    for (int i = 0; i < kWidth; i++) indices[i] = static_cast<uint8_t>(250 - i);
    for (int count = 1; count <= kWidth; count++) {
        const auto part = simd::loadIndex<float>(indices, simd::Part{count});
        uint8_t written[kWidth + 2];
        for (uint8_t& value : written) value = 7;
        simd::storeIndex<float>(written + 1, part, simd::Part{count});
        CHECK_EQUAL(int{written[0]}, 7);
        for (int i = 0; i < kWidth; i++) {
            if (i < count) CHECK_EQUAL(part[i], int32_t{indices[i]});
            CHECK_EQUAL(int{written[i + 1]}, i < count ? int{indices[i]} : 7);
        }
        CHECK_EQUAL(int{written[kWidth + 1]}, 7);
    }
}

TEST("simd: splat keeps the sign of zero") { CHECK_EQUAL(std::signbit(simd::splat<float>(-0.0f)[0]), true); }

// A row of pixels, filters and gradients, by transforms and as they are defined; adjoints by their inner
// products.
template <int M, int R = 3>
void checkScheme() {
    constexpr int kLines = M + R - 1;
    uint32_t state = 12345;
    const auto random = [&](V* to, int count) {
        for (int i = 0; i < count * kWidth; i++) {
            state = state * 1664525 + 1013904223;
            to[i / kWidth][i % kWidth] = static_cast<float>(state >> 8) / (1 << 23) - 1;
        }
    };
    const auto product = [](const V* a, const V* b, int count) {
        double sum = 0;
        for (int i = 0; i < count * kWidth; i++)
            sum += double{a[i / kWidth][i % kWidth]} * b[i / kWidth][i % kWidth];
        return sum;
    };
    using S = winograd::Scheme<M, R>;
    V d[kLines], g[R], t[kLines], u[kLines], m[kLines], y[M];
    random(d, kLines), random(g, R);
    S::input(d, t), S::filter(g, u);
    for (int i = 0; i < kLines; i++) m[i] = t[i] * u[i];
    S::output(m, y);
    for (int k = 0; k < M; k++) {
        for (int lane = 0; lane < kWidth; lane++) {
            double expected = 0;
            for (int i = 0; i < R; i++) expected += double{d[k + i][lane]} * g[i][lane];
            CHECK_EQUAL(std::abs(y[k][lane] - expected) < 3e-5, true);
        }
    }
    V gradient[M], spread[kLines], sums[kLines], taps[R];
    random(m, kLines), random(gradient, M), random(sums, kLines);
    S::output(m, y), S::outputAdjoint(gradient, spread), S::filterAdjoint(sums, taps);
    const double there = product(y, gradient, M), back = product(m, spread, kLines);
    CHECK_EQUAL(std::abs(there - back) < 1e-5 * std::sqrt(product(y, y, M) * product(gradient, gradient, M)),
                true);
    const double filtered = product(u, sums, kLines), gathered = product(g, taps, R);
    CHECK_EQUAL(
        std::abs(filtered - gathered) < 1e-5 * std::sqrt(product(u, u, kLines) * product(sums, sums, kLines)),
        true);
}

TEST("winograd: transforms filter, and their adjoints are theirs") {
    checkScheme<2>();
    checkScheme<4>();
    checkScheme<7>();
    checkScheme<8>();
    checkScheme<7, 4>();
}

TEST("winograd: taps are read and written in their places") {
    constexpr int kStep = 11;
    float filters[kWidth * kStep], written[kWidth * kStep] = {};
    for (int i = 0; i < kWidth * kStep; i++) filters[i] = static_cast<float>(i + 1);
    V taps[9];
    winograd::loadTaps(filters, kStep, taps);
    winograd::storeTaps(written, kStep, taps);
    for (int lane = 0; lane < kWidth; lane++) {
        for (int tap = 0; tap < kStep; tap++) {
            const float filter = filters[lane * kStep + tap];
            if (tap < 9) CHECK_EQUAL(taps[tap][lane], filter);
            CHECK_EQUAL(written[lane * kStep + tap], tap < 9 ? filter : 0.0f);
        }
    }
}

}  // namespace

}  // namespace anneal::cpu
