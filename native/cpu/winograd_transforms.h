#pragma once

#include <cstdint>

#include "cpu/simd.h"

// The transforms of F(M x M, R x R), on vectors of channels. With d a patch of the input, M + R - 1 on a
// side, g a filter of R x R taps and y the M x M outputs: y = A^T [(G g G^T) * (B^T d B)] A. The gradient of
// g is the adjoint of that: G^T [(A dy A^T) * (B^T d B)] G. Each matrix is given as what it does to one line;
// a patch is transformed by columns, then by rows.
namespace anneal::cpu::winograd {

using V = simd::Vector<float>;

template <int M, int R = 3>
struct Scheme;

// Interpolation at 0, 1, -1 and infinity.
template <>
struct Scheme<2> {
    static ANNEAL_INLINE void input(const V (&d)[4], V (&t)[4]) {
        t[0] = d[0] - d[2], t[1] = d[1] + d[2], t[2] = d[2] - d[1], t[3] = d[1] - d[3];
    }
    static ANNEAL_INLINE void filter(const V (&g)[3], V (&u)[4]) {
        const V ends = (g[0] + g[2]) * 0.5f, middle = g[1] * 0.5f;
        u[0] = g[0], u[1] = ends + middle, u[2] = ends - middle, u[3] = g[2];
    }
    static ANNEAL_INLINE void output(const V (&m)[4], V (&y)[2]) {
        y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] - m[3];
    }
    static ANNEAL_INLINE void outputAdjoint(const V (&y)[2], V (&z)[4]) {
        z[0] = y[0], z[1] = y[0] + y[1], z[2] = y[0] - y[1], z[3] = -y[1];
    }
    static ANNEAL_INLINE void filterAdjoint(const V (&u)[4], V (&g)[3]) {
        const V sum = (u[1] + u[2]) * 0.5f;
        g[0] = u[0] + sum, g[1] = (u[1] - u[2]) * 0.5f, g[2] = u[3] + sum;
    }
};

// Interpolation at 0, ±p, ±q and infinity. The usual points, 0, ±1, ±2, lose a digit; with these, and sums
// over channels in short pieces, the error stays within about three times the direct method's.
template <>
struct Scheme<4> {
    static constexpr float p = 5.0f / 8, q = 3.0f / 2, pp = p * p, qq = q * q;
    static constexpr float near = 1 / (2 * pp * (pp - qq)), far = 1 / (2 * qq * (qq - pp)),
                           zero = 1 / (pp * qq);

    static ANNEAL_INLINE void input(const V (&d)[6], V (&t)[6]) {
        const V evenNear = d[4] - qq * d[2], oddNear = p * (d[3] - qq * d[1]);
        const V evenFar = d[4] - pp * d[2], oddFar = q * (d[3] - pp * d[1]);
        t[0] = pp * qq * d[0] + (d[4] - (pp + qq) * d[2]);
        t[1] = evenNear + oddNear, t[2] = evenNear - oddNear;
        t[3] = evenFar + oddFar, t[4] = evenFar - oddFar;
        t[5] = pp * qq * d[1] + (d[5] - (pp + qq) * d[3]);
    }
    static ANNEAL_INLINE void filter(const V (&g)[3], V (&u)[6]) {
        const V evenNear = near * g[0] + near * pp * g[2], oddNear = near * p * g[1];
        const V evenFar = far * g[0] + far * qq * g[2], oddFar = far * q * g[1];
        u[0] = zero * g[0];
        u[1] = evenNear + oddNear, u[2] = evenNear - oddNear;
        u[3] = evenFar + oddFar, u[4] = evenFar - oddFar;
        u[5] = g[2];
    }
    static ANNEAL_INLINE void output(const V (&m)[6], V (&y)[4]) {
        const V sumNear = m[1] + m[2], differenceNear = m[1] - m[2];
        const V sumFar = m[3] + m[4], differenceFar = m[3] - m[4];
        y[0] = m[0] + sumNear + sumFar;
        y[1] = p * differenceNear + q * differenceFar;
        y[2] = pp * sumNear + qq * sumFar;
        y[3] = p * pp * differenceNear + q * qq * differenceFar + m[5];
    }
    static ANNEAL_INLINE void outputAdjoint(const V (&y)[4], V (&z)[6]) {
        const V evenNear = y[0] + pp * y[2], oddNear = p * y[1] + p * pp * y[3];
        const V evenFar = y[0] + qq * y[2], oddFar = q * y[1] + q * qq * y[3];
        z[0] = y[0];
        z[1] = evenNear + oddNear, z[2] = evenNear - oddNear;
        z[3] = evenFar + oddFar, z[4] = evenFar - oddFar;
        z[5] = y[3];
    }
    static ANNEAL_INLINE void filterAdjoint(const V (&u)[6], V (&g)[3]) {
        const V sumNear = near * (u[1] + u[2]), sumFar = far * (u[3] + u[4]);
        g[0] = zero * u[0] + sumNear + sumFar;
        g[1] = near * p * (u[1] - u[2]) + far * q * (u[3] - u[4]);
        g[2] = pp * sumNear + qq * sumFar + u[5];
    }
};

// Else GCC reads a value from memory for each of its uses, and loads are scarce.
ANNEAL_INLINE V inRegister(V value) {
#if defined(__x86_64__)
    asm("" : "+v"(value));
#endif
    return value;
}

// Applies `line` to the columns and then the rows of what load(i, j) gives, column by column; store(i, j,
// value) takes it, row by row.
// Lines of large tiles leave no registers over, so that there is nothing to gain from working on several at
// once.
template <int From, int To, typename Load, typename Line, typename Store>
ANNEAL_INLINE void transformPatch(const Load& load, const Line& line, const Store& store) {
    V half[To][From];
    const auto column = [&](int j) __attribute__((always_inline)) {
        V from[From], to[To];
#pragma GCC unroll 10
        for (int i = 0; i < From; i++) from[i] = inRegister(load(i, j));
        line(from, to);
#pragma GCC unroll 10
        for (int i = 0; i < To; i++) half[i][j] = to[i];
    };
    const auto row = [&](int i) __attribute__((always_inline)) {
        V from[From], to[To];
#pragma GCC unroll 10
        for (int j = 0; j < From; j++) from[j] = inRegister(half[i][j]);
        line(from, to);
#pragma GCC unroll 10
        for (int j = 0; j < To; j++) store(i, j, to[j]);
    };
    if constexpr (From <= 6) {
#pragma GCC unroll 6
        for (int j = 0; j < From; j++) column(j);
    } else {
#pragma GCC unroll 1
        for (int j = 0; j < From; j++) column(j);
    }
    if constexpr (To <= 6) {
#pragma GCC unroll 6
        for (int i = 0; i < To; i++) row(i);
    } else {
#pragma GCC unroll 1
        for (int i = 0; i < To; i++) row(i);
    }
}

#if defined(ANNEAL_AVX512)
// Four taps of sixteen filters that lie `step` apart, one vector for each tap.
ANNEAL_INLINE void loadFourTaps(const float* from, int64_t step, __m512 (&taps)[4]) {
    constexpr __mmask16 kAll = 0xffff;
    __m512 rows[4];  // filters i, i + 4, i + 8 and i + 12 in the quarters of a vector
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const float* const row = from + i * step;
        rows[i] = _mm512_maskz_broadcast_f32x4(kAll, _mm_loadu_ps(row));
#pragma GCC unroll 3
        for (int quarter = 1; quarter < 4; quarter++) {
            const __m128 more = _mm_loadu_ps(row + 4 * quarter * step);
            rows[i] = _mm512_mask_broadcast_f32x4(rows[i], 0xf << 4 * quarter, more);
        }
    }
    constexpr int kFirst = 0x44, kSecond = 0xee;  // halves of each quarter
    const __m512 low0 = _mm512_maskz_unpacklo_ps(kAll, rows[0], rows[1]),
                 low2 = _mm512_maskz_unpacklo_ps(kAll, rows[2], rows[3]),
                 high0 = _mm512_maskz_unpackhi_ps(kAll, rows[0], rows[1]),
                 high2 = _mm512_maskz_unpackhi_ps(kAll, rows[2], rows[3]);
    taps[0] = _mm512_maskz_shuffle_ps(kAll, low0, low2, kFirst);
    taps[1] = _mm512_maskz_shuffle_ps(kAll, low0, low2, kSecond);
    taps[2] = _mm512_maskz_shuffle_ps(kAll, high0, high2, kFirst);
    taps[3] = _mm512_maskz_shuffle_ps(kAll, high0, high2, kSecond);
}
#endif

// The nine taps of a vector of filters that lie `step` apart, one vector for each tap.
ANNEAL_INLINE void loadTaps(const float* from, int64_t step, V (&taps)[9]) {
#if defined(ANNEAL_AVX512)
    // Nine is twice four and one over: three short transpositions instead of one of all sixteen columns.
    __m512 four[4];
    loadFourTaps(from, step, four);
    taps[0] = reinterpret_cast<V>(four[0]);
#pragma GCC unroll 2
    for (int tap = 1; tap < 9; tap += 4) {
        loadFourTaps(from + tap, step, four);
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) taps[tap + i] = reinterpret_cast<V>(four[i]);
    }
#else
    constexpr int kWidth = simd::Lanes<float>::kCount;
    V rows[kWidth];
#pragma GCC unroll 2
    for (int tap = 0; tap < 9; tap += kWidth) {
        const int count = 9 - tap < kWidth ? 9 - tap : kWidth;
        if (count == 1) {
            for (int lane = 0; lane < kWidth; lane++) taps[tap][lane] = from[lane * step + tap];
            return;
        }
        for (int lane = 0; lane < kWidth; lane++) {
            rows[lane] = simd::load(from + lane * step + tap, simd::Part{count});
        }
        simd::transpose(rows);
        for (int i = 0; i < count; i++) taps[tap + i] = rows[i];
    }
#endif
}

// Filters that will be read, or written, soon. They lie in more rows than the processor foresees by itself.
template <int Write>
ANNEAL_INLINE void prefetchTaps(const float* from, int64_t step) {
    for (int lane = 0; lane < simd::Lanes<float>::kCount; lane++)
        __builtin_prefetch(from + lane * step, Write);
}

ANNEAL_INLINE void storeTaps(float* to, int64_t step, const V (&taps)[9]) {
    constexpr int kWidth = simd::Lanes<float>::kCount;
    V rows[kWidth];
#pragma GCC unroll 2
    for (int tap = 0; tap < 9; tap += kWidth) {
        const int count = 9 - tap < kWidth ? 9 - tap : kWidth;
        if (count == 1) {
            for (int lane = 0; lane < kWidth; lane++) to[lane * step + tap] = taps[tap][lane];
            return;
        }
        for (int i = 0; i < kWidth; i++) rows[i] = i < count ? taps[tap + i] : V{};
        simd::transpose(rows);
        for (int lane = 0; lane < kWidth; lane++) {
            simd::store(to + lane * step + tap, rows[lane], simd::Part{count});
        }
    }
}

}  // namespace anneal::cpu::winograd
