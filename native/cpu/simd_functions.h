#pragma once

#include <cmath>

#include "cpu/simd_lanes.h"

// Functions of vectors, lane by lane.
namespace anneal::cpu::simd {

// e^x to about one unit in the last place, with subnormal results; after Cephes' expf.
ANNEAL_INLINE Vector<float> exp(Vector<float> x) {
    using V = Vector<float>;
    using M = Mask<float>;
    const V low = splat<float>(-105.0f), high = splat<float>(89.0f);
    x = x < low ? low : x;
    x = x > high ? high : x;
    const V magic = splat<float>(12582912.0f);  // 1.5 * 2^23: adding it rounds to an integer
    const V shifted = x * 1.44269504088896341f + magic;
    const V n = shifted - magic;
    const V r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
    V p = splat<float>(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    const V y = p * (r * r) + r + 1.0f;
    // 2^n in two factors, since n runs from -151 to 128.
    const M whole = reinterpret_cast<M>(shifted) - 0x4b400000;
    const M half = whole >> 1;
    const V first = reinterpret_cast<V>((half + 127) << 23);
    const V second = reinterpret_cast<V>((whole - half + 127) << 23);
    const V result = y * first * second;
    return x == x ? result : x;
}

ANNEAL_INLINE Vector<double> exp(Vector<double> x) {
    for (int i = 0; i < Lanes<double>::kCount; i++) x[i] = std::exp(x[i]);
    return x;
}

// log(1 + z) for z in [0, 1]: twice the area hyperbolic tangent of z / (2 + z), whose series converges fast
// there.
ANNEAL_INLINE Vector<float> log1pUnit(Vector<float> z) {
    using V = Vector<float>;
    const V s = z / (z + 2.0f);
    const V q = s * s;
    V p = splat<float>(1.0f / 17.0f);
    p = p * q + 1.0f / 15.0f;
    p = p * q + 1.0f / 13.0f;
    p = p * q + 1.0f / 11.0f;
    p = p * q + 1.0f / 9.0f;
    p = p * q + 1.0f / 7.0f;
    p = p * q + 1.0f / 5.0f;
    p = p * q + 1.0f / 3.0f;
    return 2.0f * (p * (q * s) + s);
}

ANNEAL_INLINE Vector<double> log1pUnit(Vector<double> z) {
    for (int i = 0; i < Lanes<double>::kCount; i++) z[i] = std::log1p(z[i]);
    return z;
}

}  // namespace anneal::cpu::simd
