#pragma once

#include <cstdint>

#include "cpu/simd.h"

// The transforms of F(2 x 2, 3 x 3), on vectors of channels. With d a 4 x 4 patch of the input, g a 3 x 3
// filter and y the 2 x 2 outputs: y = A^T [(G g G^T) * (B^T d B)] A. The gradient of g is the adjoint of
// that: G^T [(A dy A^T) * (B^T d B)] G.
namespace anneal::cpu::winograd {

using V = simd::Vector<float>;

// The nine taps of a vector of filters that lie `step` apart, one vector for each tap.
ANNEAL_INLINE void loadTaps(const float* from, int64_t step, V (&taps)[9]) {
#if defined(ANNEAL_AVX512)
    V rows[16];
    for (int lane = 0; lane < 16; lane++) rows[lane] = simd::load(from + lane * step, simd::Part{9});
    simd::transpose(rows);
    for (int tap = 0; tap < 9; tap++) taps[tap] = rows[tap];
#else
    constexpr int kWidth = simd::Lanes<float>::kCount;
    float values[9][kWidth];
    for (int lane = 0; lane < kWidth; lane++) {
        for (int tap = 0; tap < 9; tap++) values[tap][lane] = from[lane * step + tap];
    }
    for (int tap = 0; tap < 9; tap++) taps[tap] = simd::load(values[tap]);
#endif
}

ANNEAL_INLINE void storeTaps(float* to, int64_t step, const V (&taps)[9]) {
#if defined(ANNEAL_AVX512)
    V rows[16];
    for (int tap = 0; tap < 16; tap++) rows[tap] = tap < 9 ? taps[tap] : V{};
    simd::transpose(rows);
    for (int lane = 0; lane < 16; lane++) simd::store(to + lane * step, rows[lane], simd::Part{9});
#else
    constexpr int kWidth = simd::Lanes<float>::kCount;
    for (int tap = 0; tap < 9; tap++) {
        for (int lane = 0; lane < kWidth; lane++) to[lane * step + tap] = taps[tap][lane];
    }
#endif
}

ANNEAL_INLINE void transformInput(V (&d)[4][4]) {
    for (int i = 0; i < 4; i++) {
        const V a = d[i][0] - d[i][2], b = d[i][1] + d[i][2], c = d[i][2] - d[i][1], e = d[i][1] - d[i][3];
        d[i][0] = a, d[i][1] = b, d[i][2] = c, d[i][3] = e;
    }
    for (int j = 0; j < 4; j++) {
        const V a = d[0][j] - d[2][j], b = d[1][j] + d[2][j], c = d[2][j] - d[1][j], e = d[1][j] - d[3][j];
        d[0][j] = a, d[1][j] = b, d[2][j] = c, d[3][j] = e;
    }
}

ANNEAL_INLINE void transformFilter(const V (&g)[3][3], V (&u)[4][4]) {
    V rows[4][3];
    for (int j = 0; j < 3; j++) {
        const V ends = (g[0][j] + g[2][j]) * 0.5f, middle = g[1][j] * 0.5f;
        rows[0][j] = g[0][j], rows[1][j] = ends + middle, rows[2][j] = ends - middle, rows[3][j] = g[2][j];
    }
    for (int i = 0; i < 4; i++) {
        const V ends = (rows[i][0] + rows[i][2]) * 0.5f, middle = rows[i][1] * 0.5f;
        u[i][0] = rows[i][0], u[i][1] = ends + middle, u[i][2] = ends - middle, u[i][3] = rows[i][2];
    }
}

ANNEAL_INLINE void transformOutput(const V (&m)[4][4], V (&y)[2][2]) {
    V rows[2][4];
    for (int j = 0; j < 4; j++) {
        rows[0][j] = m[0][j] + m[1][j] + m[2][j];
        rows[1][j] = m[1][j] - m[2][j] - m[3][j];
    }
    for (int i = 0; i < 2; i++) {
        y[i][0] = rows[i][0] + rows[i][1] + rows[i][2];
        y[i][1] = rows[i][1] - rows[i][2] - rows[i][3];
    }
}

// A dy A^T
ANNEAL_INLINE void transformGradient(const V (&y)[2][2], V (&z)[4][4]) {
    V rows[4][2];
    for (int j = 0; j < 2; j++) {
        rows[0][j] = y[0][j], rows[1][j] = y[0][j] + y[1][j], rows[2][j] = y[0][j] - y[1][j],
        rows[3][j] = -y[1][j];
    }
    for (int i = 0; i < 4; i++) {
        z[i][0] = rows[i][0], z[i][1] = rows[i][0] + rows[i][1], z[i][2] = rows[i][0] - rows[i][1],
        z[i][3] = -rows[i][1];
    }
}

// G^T u G
ANNEAL_INLINE void transformFilterGradient(const V (&u)[4][4], V (&g)[3][3]) {
    V rows[3][4];
    for (int j = 0; j < 4; j++) {
        const V sum = (u[1][j] + u[2][j]) * 0.5f;
        rows[0][j] = u[0][j] + sum, rows[1][j] = (u[1][j] - u[2][j]) * 0.5f, rows[2][j] = u[3][j] + sum;
    }
    for (int i = 0; i < 3; i++) {
        const V sum = (rows[i][1] + rows[i][2]) * 0.5f;
        g[i][0] = rows[i][0] + sum, g[i][1] = (rows[i][1] - rows[i][2]) * 0.5f, g[i][2] = rows[i][3] + sum;
    }
}

}  // namespace anneal::cpu::winograd
