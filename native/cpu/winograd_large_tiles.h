#pragma once

#include "cpu/winograd_transforms.h"

namespace anneal::cpu::winograd {

// F(7 x 7, 3 x 3) and F(8 x 8, 3 x 3): 81 multiplications for 49 outputs, 100 for 64; F(7 x 7, 4 x 4): 100
// for
// 49. In float32 their root mean square error is 1 to 2e-5 of the output, up to forty times the direct
// method's and a hundredth of what rounding to bfloat16 costs.
//
// Interpolation at plus and minus 2/5, 4/5 and their reciprocals, at infinity, and at 0 for ten lines. A
// point and its negative share their even and their odd powers, a point and its reciprocal have mirrored
// ones: half of the sums serve both.
template <int M, int R>
struct LargeScheme {
    static constexpr int kLines = M + R - 1;
    static_assert((M == 7 || M == 8) && (kLines == 9 || kLines == 10));
    static constexpr double kPoints[4] = {2.0 / 5, 5.0 / 2, 4.0 / 5, 5.0 / 4};
    static constexpr int kZero = kLines == 10;  // elements before those of the points
    static constexpr float kSquares[2] = {0.16f + 6.25f, 0.64f + 1.5625f};  // of a point and its reciprocal

    static ANNEAL_INLINE void input(const V (&d)[kLines], V (&t)[kLines]) {
        const V *const y = d + kZero, *const x = y + 1;
        const V sumX[2] = {x[0] + x[4], x[2] + x[6]}, sumY[2] = {y[0] + y[4], y[2] + y[6]};
#pragma GCC unroll 2
        for (int i = 0; i < 4; i += 2) {
            // times the other two points' squares subtracted
            const float other = kSquares[i == 0];
            const V x0 = sumX[0] - other * x[2], x1 = sumX[1] - other * x[4];
            const V y0 = sumY[0] - other * y[2], y1 = sumY[1] - other * y[4];
            V* const to = t + kZero + 2 * i;
            const float p = power(i, 1), r = power(i, -1);
            const V same = x1 - r * r * x0, opposite = p * y1 - r * y0;
            to[0] = same + opposite, to[1] = same - opposite;
            const V sameNext = x1 - p * p * x0, oppositeNext = r * y1 - p * y0;
            to[2] = sameNext + oppositeNext, to[3] = sameNext - oppositeNext;
        }
        constexpr float kOuter = kSquares[0] + kSquares[1], kMiddle = 2 + kSquares[0] * kSquares[1];
        if (kZero) t[0] = d[0] + d[8] + kMiddle * d[4] - kOuter * sumX[0];
        t[kLines - 1] = y[0] + y[8] + kMiddle * y[4] - kOuter * sumY[1];
    }

    static ANNEAL_INLINE void filter(const V (&g)[R], V (&u)[kLines]) {
        if (kZero) u[0] = g[0];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) filterAt(i, g, u[kZero + 2 * i], u[kZero + 2 * i + 1]);
        u[kLines - 1] = g[R - 1];
    }
    // At a point and its negative.
    static ANNEAL_INLINE void filterAt(int i, const V (&g)[R], V& positive, V& negative) {
        const V even = scale(i, 0) * g[0] + scale(i, 2) * g[2];
        V odd = scale(i, 1) * g[1];
        if constexpr (R == 4) odd += scale(i, 3) * g[3];
        const V apart = inRegister(odd);  // else both sums become products, whose units are the busy ones
        positive = even + apart, negative = kZero ? even - apart : apart - even;
    }

    // The powers are from -3 on.
    static ANNEAL_INLINE void output(const V (&m)[kLines], V (&y)[M]) {
        V sum[4], difference[4];  // even and odd powers
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const V* const from = m + kZero + 2 * i;
            sum[i] = from[0] + from[1], difference[i] = from[0] - from[1];
        }
        const V zeroth = difference[0] + difference[1] + (difference[2] + difference[3]);
        y[3] = zeroth;
#pragma GCC unroll 3
        for (int j = 1; j <= 3; j++) {
            const auto& terms = j % 2 == 0 ? difference : sum;
            const V even = mean(0, j) * (terms[0] + terms[1]) + mean(2, j) * (terms[2] + terms[3]);
            const V odd = half(0, j) * (terms[1] - terms[0]) + half(2, j) * (terms[3] - terms[2]);
            y[3 + j] = even + odd, y[3 - j] = even - odd;
        }
        if (kZero) y[0] += m[0];
        if constexpr (M == 8) {
            y[7] = power(0, 4) * difference[0] + power(1, 4) * difference[1] +
                   (power(2, 4) * difference[2] + power(3, 4) * difference[3]);
        }
        y[M - 1] += m[kLines - 1];
    }

    static ANNEAL_INLINE void outputAdjoint(const V (&y)[M], V (&z)[kLines]) {
        V sum[4], difference[4];
#pragma GCC unroll 3
        for (int j = 1; j <= 3; j++) sum[j] = y[3 + j] + y[3 - j], difference[j] = y[3 + j] - y[3 - j];
#pragma GCC unroll 2
        for (int i = 0; i < 4; i += 2) {
            const V oddSum = mean(i, 1) * sum[1] + mean(i, 3) * sum[3],
                    oddHalf = half(i, 1) * difference[1] + half(i, 3) * difference[3];
            const V evenSum = y[3] + mean(i, 2) * sum[2], evenHalf = half(i, 2) * difference[2];
#pragma GCC unroll 2
            for (int r = 0; r < 2; r++) {
                const V even = r ? oddSum + oddHalf : oddSum - oddHalf;
                V odd = r ? evenSum + evenHalf : evenSum - evenHalf;
                if (M == 8) odd += power(i + r, 4) * y[M - 1];
                V* const to = z + kZero + 2 * (i + r);
                to[0] = even + odd, to[1] = even - odd;
            }
        }
        if (kZero) z[0] = y[0];
        z[kLines - 1] = y[M - 1];
    }

    static ANNEAL_INLINE void filterAdjoint(const V (&u)[kLines], V (&g)[R]) {
        for (int j = 0; j < R; j++) g[j] = V{};
        if (kZero) g[0] = u[0];
        g[R - 1] += u[kLines - 1];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            const V* const from = u + kZero + 2 * i;
            const V sum = from[0] + from[1], difference = from[0] - from[1];
#pragma GCC unroll 4
            for (int j = 0; j < R; j++)
                g[j] += scale(i, j) * ((j % 2 == 0) == (kZero == 1) ? sum : difference);
        }
    }

  private:
    static constexpr double powerOf(double base, int exponent) {
        double result = 1;
        for (int i = 0; i < exponent; i++) result *= base;
        for (int i = 0; i > exponent; i--) result /= base;
        return result;
    }
    static constexpr float power(int point, int exponent) {
        return static_cast<float>(powerOf(kPoints[point], exponent));
    }
    // p^j = mean - half, p^-j = mean + half.
    static constexpr float mean(int point, int j) {
        return static_cast<float>((powerOf(kPoints[point], j) + powerOf(kPoints[point], -j)) / 2);
    }
    static constexpr float half(int point, int j) {
        return static_cast<float>((powerOf(kPoints[point], -j) - powerOf(kPoints[point], j)) / 2);
    }
    // A power of a point, over the product of its differences from all others.
    static constexpr float scale(int point, int exponent) {
        const double p = kPoints[point];
        double differences = kZero ? 2 * p * p : 2 * p;
        for (int j = 0; j < 4; j++) {
            if (j != point) differences *= p * p - kPoints[j] * kPoints[j];
        }
        return static_cast<float>(powerOf(p, 3 + exponent) / differences);
    }
};

template <>
struct Scheme<7> : LargeScheme<7, 3> {};
template <>
struct Scheme<8> : LargeScheme<8, 3> {};
template <>
struct Scheme<7, 4> : LargeScheme<7, 4> {};

}  // namespace anneal::cpu::winograd
