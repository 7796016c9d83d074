#pragma once

#include "cpu/simd_lanes.h"

// As many vectors as they have lanes, taken for a matrix: rows become columns.
namespace anneal::cpu::simd {

#if defined(ANNEAL_AVX512)

// First within quarters of the registers, then the quarters among each other.
ANNEAL_INLINE void transpose(Vector<float> (&rows)[16]) {
    // The forms without a mask read a register that GCC 12 warns about as never set.
    constexpr __mmask16 kAll = 0xffff;
    __m512 a[16], b[16];
    for (int i = 0; i < 16; i += 2) {
        const __m512 x = reinterpret_cast<__m512>(rows[i]), y = reinterpret_cast<__m512>(rows[i + 1]);
        a[i] = _mm512_maskz_unpacklo_ps(kAll, x, y);
        a[i + 1] = _mm512_maskz_unpackhi_ps(kAll, x, y);
    }
    for (int i = 0; i < 16; i += 4) {
        for (int half = 0; half < 2; half++) {
            const __m512d x = _mm512_castps_pd(a[i + half]), y = _mm512_castps_pd(a[i + 2 + half]);
            b[i + 2 * half] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, x, y));
            b[i + 2 * half + 1] = _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, x, y));
        }
    }
    // b[4 i + j] holds, in its quarter q, the elements of rows 4 i … 4 i + 3 in column 4 q + j.
    for (int j = 0; j < 4; j++) {
        const __m512 low02 = _mm512_maskz_shuffle_f32x4(kAll, b[j], b[4 + j], 0x88);
        const __m512 low13 = _mm512_maskz_shuffle_f32x4(kAll, b[j], b[4 + j], 0xdd);
        const __m512 high02 = _mm512_maskz_shuffle_f32x4(kAll, b[8 + j], b[12 + j], 0x88);
        const __m512 high13 = _mm512_maskz_shuffle_f32x4(kAll, b[8 + j], b[12 + j], 0xdd);
        rows[j] = reinterpret_cast<Vector<float>>(_mm512_maskz_shuffle_f32x4(kAll, low02, high02, 0x88));
        rows[8 + j] = reinterpret_cast<Vector<float>>(_mm512_maskz_shuffle_f32x4(kAll, low02, high02, 0xdd));
        rows[4 + j] = reinterpret_cast<Vector<float>>(_mm512_maskz_shuffle_f32x4(kAll, low13, high13, 0x88));
        rows[12 + j] = reinterpret_cast<Vector<float>>(_mm512_maskz_shuffle_f32x4(kAll, low13, high13, 0xdd));
    }
}

// Lane i is the sum of the lanes of rows[i].
ANNEAL_INLINE Vector<float> sumsOfLanes(const Vector<float> (&rows)[16]) {
    constexpr __mmask16 kAll = 0xffff;
    __m512 a[8], b[4];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const __m512 x = reinterpret_cast<__m512>(rows[2 * i]), y = reinterpret_cast<__m512>(rows[2 * i + 1]);
        a[i] = _mm512_maskz_unpacklo_ps(kAll, x, y) + _mm512_maskz_unpackhi_ps(kAll, x, y);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        const __m512d x = _mm512_castps_pd(a[2 * i]), y = _mm512_castps_pd(a[2 * i + 1]);
        b[i] = _mm512_castpd_ps(_mm512_maskz_unpacklo_pd(0xff, x, y)) +
               _mm512_castpd_ps(_mm512_maskz_unpackhi_pd(0xff, x, y));
    }
    // A quarter of b[i] holds what it has of the sums of rows 4 i … 4 i + 3.
    const auto quarters = [](__m512 x, __m512 y) {
        return _mm512_maskz_shuffle_f32x4(kAll, x, y, 0x88) + _mm512_maskz_shuffle_f32x4(kAll, x, y, 0xdd);
    };
    return reinterpret_cast<Vector<float>>(quarters(quarters(b[0], b[1]), quarters(b[2], b[3])));
}

#elif defined(ANNEAL_AVX2)

// First within halves of the registers, then the halves among each other.
ANNEAL_INLINE void transpose(Vector<float> (&rows)[8]) {
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        const __m256 x = reinterpret_cast<__m256>(rows[i]), y = reinterpret_cast<__m256>(rows[i + 1]);
        a[i] = _mm256_unpacklo_ps(x, y);
        a[i + 1] = _mm256_unpackhi_ps(x, y);
    }
    for (int i = 0; i < 8; i += 4) {
        for (int half = 0; half < 2; half++) {
            const __m256d x = _mm256_castps_pd(a[i + half]), y = _mm256_castps_pd(a[i + 2 + half]);
            b[i + 2 * half] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y));
            b[i + 2 * half + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
        }
    }
    // b[4 i + j] holds, in its half h, the elements of rows 4 i … 4 i + 3 in column 4 h + j.
    for (int j = 0; j < 4; j++) {
        rows[j] = reinterpret_cast<Vector<float>>(_mm256_permute2f128_ps(b[j], b[4 + j], 0x20));
        rows[4 + j] = reinterpret_cast<Vector<float>>(_mm256_permute2f128_ps(b[j], b[4 + j], 0x31));
    }
}

ANNEAL_INLINE Vector<float> sumsOfLanes(const Vector<float> (&rows)[8]) {
    __m256 a[4], b[2];
#pragma GCC unroll 8
    for (int i = 0; i < 4; i++) {
        const __m256 x = reinterpret_cast<__m256>(rows[2 * i]), y = reinterpret_cast<__m256>(rows[2 * i + 1]);
        a[i] = _mm256_unpacklo_ps(x, y) + _mm256_unpackhi_ps(x, y);
    }
#pragma GCC unroll 8
    for (int i = 0; i < 2; i++) {
        const __m256d x = _mm256_castps_pd(a[2 * i]), y = _mm256_castps_pd(a[2 * i + 1]);
        b[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(x, y)) + _mm256_castpd_ps(_mm256_unpackhi_pd(x, y));
    }
    return reinterpret_cast<Vector<float>>(_mm256_permute2f128_ps(b[0], b[1], 0x20) +
                                           _mm256_permute2f128_ps(b[0], b[1], 0x31));
}

#else

ANNEAL_INLINE void transpose(Vector<float> (&rows)[4]) {
    using V = Vector<float>;
    const V low01 = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
    const V high01 = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
    const V low23 = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
    const V high23 = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
    rows[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
    rows[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
    rows[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
    rows[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

ANNEAL_INLINE Vector<float> sumsOfLanes(const Vector<float> (&rows)[4]) {
    Vector<float> columns[4] = {rows[0], rows[1], rows[2], rows[3]};
    transpose(columns);
    return (columns[0] + columns[2]) + (columns[1] + columns[3]);
}

#endif

}  // namespace anneal::cpu::simd
