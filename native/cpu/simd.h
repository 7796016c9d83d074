#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/dtype.h"

#define ANNEAL_INLINE inline __attribute__((always_inline))

// Vectors as wide as the processor's registers through the compiler's vector extension, with plain operators.
// Kernels are written once over them, for every storage type: half precision is widened when loaded and
// rounded when stored. The few intrinsics stand where GCC 12 takes the generic form apart, lane by lane.
namespace anneal::cpu::simd {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#define ANNEAL_AVX512 1
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
#define ANNEAL_AVX2 1
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename C>
struct Lanes;
template <>
struct Lanes<float> {
    static constexpr int kCount = kVectorBytes / 4;
    typedef float Vector __attribute__((vector_size(kVectorBytes)));
    typedef int32_t Mask __attribute__((vector_size(kVectorBytes)));
    typedef int32_t Words __attribute__((vector_size(kVectorBytes)));
    typedef uint8_t Bytes __attribute__((vector_size(kVectorBytes / 4)));
};
template <>
struct Lanes<double> {
    static constexpr int kCount = kVectorBytes / 8;
    typedef double Vector __attribute__((vector_size(kVectorBytes)));
    typedef int64_t Mask __attribute__((vector_size(kVectorBytes)));
    typedef int32_t Words __attribute__((vector_size(kVectorBytes / 2)));
    typedef uint8_t Bytes __attribute__((vector_size(kVectorBytes / 8)));
};

// `C` is the type computed in: float or double.
template <typename C>
using Vector = typename Lanes<C>::Vector;
template <typename C>
using Mask = typename Lanes<C>::Mask;

typedef uint16_t HalfLanes __attribute__((vector_size(kVectorBytes / 2)));
typedef uint32_t WordLanes __attribute__((vector_size(kVectorBytes)));

// How much of a vector lies in memory: all of it, or the first `count` lanes at the end of a row.
struct Full {};
struct Part {
    int count;
};

template <typename C>
ANNEAL_INLINE Vector<C> splat(C value) {
    return Vector<C>{} + value;
}

namespace detail {

template <typename Wide, typename T>
ANNEAL_INLINE Wide readBytes(const T* from) {
    Wide wide;
    std::memcpy(&wide, from, sizeof wide);
    return wide;
}

#if defined(ANNEAL_AVX512)
ANNEAL_INLINE __mmask16 firstLanes(Part part) { return static_cast<__mmask16>((1u << part.count) - 1); }
#elif defined(ANNEAL_AVX2)
// All bits set in the first lanes, of 4 or of 8 bytes.
ANNEAL_INLINE __m256i firstLanes(Part part, int laneBytes) {
    alignas(32) static const int32_t table[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(table + 8 - part.count * laneBytes / 4));
}
#endif

ANNEAL_INLINE WordLanes toWords(HalfLanes halves) {
#if defined(ANNEAL_AVX512)
    return reinterpret_cast<WordLanes>(
        _mm512_maskz_cvtepu16_epi32(0xffff, reinterpret_cast<__m256i>(halves)));
#elif defined(ANNEAL_AVX2)
    return reinterpret_cast<WordLanes>(_mm256_cvtepu16_epi32(reinterpret_cast<__m128i>(halves)));
#else
    return __builtin_convertvector(halves, WordLanes);
#endif
}

ANNEAL_INLINE HalfLanes toHalves(WordLanes words) {
#if defined(ANNEAL_AVX512)
    return reinterpret_cast<HalfLanes>(_mm512_maskz_cvtepi32_epi16(0xffff, reinterpret_cast<__m512i>(words)));
#elif defined(ANNEAL_AVX2)
    const __m256i all = reinterpret_cast<__m256i>(words);
    return reinterpret_cast<HalfLanes>(
        _mm_packus_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1)));
#else
    return __builtin_convertvector(words, HalfLanes);
#endif
}

// One byte to each lane of a mask, and back.
template <typename C>
ANNEAL_INLINE Mask<C> fromBytes(typename Lanes<C>::Bytes bytes) {
#if defined(ANNEAL_AVX512)
    if constexpr (sizeof(C) == 4) {
        return reinterpret_cast<Mask<C>>(
            _mm512_maskz_cvtepu8_epi32(0xffff, reinterpret_cast<__m128i>(bytes)));
    }
#elif defined(ANNEAL_AVX2)
    if constexpr (sizeof(C) == 4) {
        int64_t packed;
        std::memcpy(&packed, &bytes, sizeof packed);
        return reinterpret_cast<Mask<C>>(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128(packed)));
    }
#endif
    return __builtin_convertvector(bytes, Mask<C>);
}

template <typename C>
ANNEAL_INLINE typename Lanes<C>::Bytes toBytes(Mask<C> mask) {
    using Bytes = typename Lanes<C>::Bytes;
#if defined(ANNEAL_AVX512)
    if constexpr (sizeof(C) == 4) {
        return reinterpret_cast<Bytes>(_mm512_maskz_cvtepi32_epi8(0xffff, reinterpret_cast<__m512i>(mask)));
    }
#elif defined(ANNEAL_AVX2)
    if constexpr (sizeof(C) == 4) {
        const __m128i halves = reinterpret_cast<__m128i>(toHalves(reinterpret_cast<WordLanes>(mask)));
        const int64_t packed = _mm_cvtsi128_si64(_mm_packus_epi16(halves, halves));
        return readBytes<Bytes>(&packed);
    }
#endif
    return __builtin_convertvector(mask, Bytes);
}

ANNEAL_INLINE Vector<float> widen(HalfLanes halves, const BFloat16*) {
    return reinterpret_cast<Vector<float>>(toWords(halves) << 16);
}

ANNEAL_INLINE HalfLanes narrow(Vector<float> value, const BFloat16*) {
    const WordLanes words = reinterpret_cast<WordLanes>(value);
    const WordLanes rounded = (words + 0x7fffu + ((words >> 16) & 1u)) >> 16;
    return toHalves(value == value ? rounded : WordLanes{} + 0x7fc0u);
}

ANNEAL_INLINE Vector<float> widen(HalfLanes halves, const Float16*) {
#if defined(ANNEAL_AVX512)
    return reinterpret_cast<Vector<float>>(_mm512_maskz_cvtph_ps(0xffff, reinterpret_cast<__m256i>(halves)));
#elif defined(ANNEAL_AVX2) && defined(__F16C__)
    return reinterpret_cast<Vector<float>>(_mm256_cvtph_ps(reinterpret_cast<__m128i>(halves)));
#else
    Vector<float> result;
    for (int i = 0; i < Lanes<float>::kCount; i++) {
        Float16 half;
        half.bits = halves[i];
        result[i] = half;
    }
    return result;
#endif
}

ANNEAL_INLINE HalfLanes narrow(Vector<float> value, const Float16*) {
#if defined(ANNEAL_AVX512)
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return reinterpret_cast<HalfLanes>(
        _mm512_maskz_cvtps_ph(0xffff, reinterpret_cast<__m512>(value), kNearest));
#elif defined(ANNEAL_AVX2) && defined(__F16C__)
    return reinterpret_cast<HalfLanes>(
        _mm256_cvtps_ph(reinterpret_cast<__m256>(value), _MM_FROUND_TO_NEAREST_INT));
#else
    HalfLanes result;
    for (int i = 0; i < Lanes<float>::kCount; i++) result[i] = Float16(value[i]).bits;
    return result;
#endif
}

}  // namespace detail

// --- whole vectors

template <typename T>
ANNEAL_INLINE Vector<Compute<T>> load(const T* from, Full = {}) {
    if constexpr (std::is_same_v<T, Compute<T>>) {
        return detail::readBytes<Vector<T>>(from);
    } else {
        return detail::widen(detail::readBytes<HalfLanes>(from), from);
    }
}

template <typename T>
ANNEAL_INLINE void store(T* to, Vector<Compute<T>> value, Full = {}) {
    if constexpr (std::is_same_v<T, Compute<T>>) {
        std::memcpy(to, &value, sizeof value);
    } else {
        const HalfLanes halves = detail::narrow(value, to);
        std::memcpy(static_cast<void*>(to), &halves, sizeof halves);
    }
}

// --- the first lanes only; the others read as zero and are not written

template <typename T>
ANNEAL_INLINE Vector<Compute<T>> load(const T* from, Part part) {
#if defined(ANNEAL_AVX512)
    if constexpr (std::is_same_v<T, float>) {
        return reinterpret_cast<Vector<float>>(_mm512_maskz_loadu_ps(detail::firstLanes(part), from));
    } else if constexpr (std::is_same_v<T, double>) {
        const __mmask8 mask = static_cast<__mmask8>(detail::firstLanes(part));
        return reinterpret_cast<Vector<double>>(_mm512_maskz_loadu_pd(mask, from));
    } else {
        const __m256i halves = _mm256_maskz_loadu_epi16(detail::firstLanes(part), from);
        return detail::widen(reinterpret_cast<HalfLanes>(halves), from);
    }
#else
#if defined(ANNEAL_AVX2)
    if constexpr (std::is_same_v<T, float>) {
        return reinterpret_cast<Vector<float>>(_mm256_maskload_ps(from, detail::firstLanes(part, 4)));
    } else if constexpr (std::is_same_v<T, double>) {
        return reinterpret_cast<Vector<double>>(_mm256_maskload_pd(from, detail::firstLanes(part, 8)));
    }
#endif
    T lanes[Lanes<Compute<T>>::kCount] = {};
    for (int i = 0; i < part.count; i++) lanes[i] = from[i];
    return load(lanes);
#endif
}

template <typename T>
ANNEAL_INLINE void store(T* to, Vector<Compute<T>> value, Part part) {
#if defined(ANNEAL_AVX512)
    if constexpr (std::is_same_v<T, float>) {
        _mm512_mask_storeu_ps(to, detail::firstLanes(part), reinterpret_cast<__m512>(value));
    } else if constexpr (std::is_same_v<T, double>) {
        const __mmask8 mask = static_cast<__mmask8>(detail::firstLanes(part));
        _mm512_mask_storeu_pd(to, mask, reinterpret_cast<__m512d>(value));
    } else {
        const __m256i halves = reinterpret_cast<__m256i>(detail::narrow(value, to));
        _mm256_mask_storeu_epi16(to, detail::firstLanes(part), halves);
    }
#else
#if defined(ANNEAL_AVX2)
    if constexpr (std::is_same_v<T, float>) {
        _mm256_maskstore_ps(to, detail::firstLanes(part, 4), reinterpret_cast<__m256>(value));
        return;
    } else if constexpr (std::is_same_v<T, double>) {
        _mm256_maskstore_pd(to, detail::firstLanes(part, 8), reinterpret_cast<__m256d>(value));
        return;
    }
#endif
    T lanes[Lanes<Compute<T>>::kCount];
    store(lanes, value);
    for (int i = 0; i < part.count; i++) to[i] = lanes[i];
#endif
}

// --- small integers kept beside values (the argument of a maximum), one for each lane of the values' vector

template <typename C>
ANNEAL_INLINE Mask<C> loadIndex(const uint8_t* from, Full = {}) {
    return detail::fromBytes<C>(detail::readBytes<typename Lanes<C>::Bytes>(from));
}
template <typename C>
ANNEAL_INLINE Mask<C> loadIndex(const int32_t* from, Full = {}) {
    return __builtin_convertvector(detail::readBytes<typename Lanes<C>::Words>(from), Mask<C>);
}
template <typename C, typename I>
ANNEAL_INLINE Mask<C> loadIndex(const I* from, Part part) {
#if defined(ANNEAL_AVX512)
    if constexpr (sizeof(I) == 1 && sizeof(C) == 4) {
        const __m128i bytes = _mm_maskz_loadu_epi8(detail::firstLanes(part), from);
        return reinterpret_cast<Mask<C>>(_mm512_maskz_cvtepu8_epi32(0xffff, bytes));
    }
#endif
    I lanes[Lanes<C>::kCount] = {};
    for (int i = 0; i < part.count; i++) lanes[i] = from[i];
    return loadIndex<C>(lanes);
}

template <typename C>
ANNEAL_INLINE void storeIndex(uint8_t* to, Mask<C> value, Full = {}) {
    const auto bytes = detail::toBytes<C>(value);
    std::memcpy(to, &bytes, sizeof bytes);
}
template <typename C>
ANNEAL_INLINE void storeIndex(int32_t* to, Mask<C> value, Full = {}) {
    const auto words = __builtin_convertvector(value, typename Lanes<C>::Words);
    std::memcpy(to, &words, sizeof words);
}
template <typename C, typename I>
ANNEAL_INLINE void storeIndex(I* to, Mask<C> value, Part part) {
#if defined(ANNEAL_AVX512)
    if constexpr (sizeof(I) == 1 && sizeof(C) == 4) {
        _mm512_mask_cvtepi32_storeu_epi8(to, detail::firstLanes(part), reinterpret_cast<__m512i>(value));
        return;
    }
#endif
    I lanes[Lanes<C>::kCount];
    storeIndex<C>(lanes, value);
    for (int i = 0; i < part.count; i++) to[i] = lanes[i];
}

// Calls body(offset, Full or Part) for the vectors that cover [0, count).
template <typename C, typename Body>
ANNEAL_INLINE void forLanes(int64_t count, const Body& body) {
    constexpr int kCount = Lanes<C>::kCount;
    int64_t i = 0;
    for (; i + kCount <= count; i += kCount) body(i, Full{});
    if (i < count) body(i, Part{static_cast<int>(count - i)});
}

// --- across the lanes, in a fixed order

template <typename C>
ANNEAL_INLINE C sumLanes(Vector<C> value) {
    C lanes[Lanes<C>::kCount];
    std::memcpy(lanes, &value, sizeof value);
    for (int half = Lanes<C>::kCount / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

// NaN if any lane is.
template <typename C>
ANNEAL_INLINE C maxLanes(Vector<C> value) {
    C lanes[Lanes<C>::kCount];
    std::memcpy(lanes, &value, sizeof value);
    for (int half = Lanes<C>::kCount / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++) {
            const C other = lanes[i + half];
            lanes[i] = other > lanes[i] || other != other ? other : lanes[i];
        }
    }
    return lanes[0];
}

// Lanes past the end of a row replaced by `value`.
template <typename C>
ANNEAL_INLINE Vector<C> fillRest(Vector<C> vector, Full, C) {
    return vector;
}
template <typename C>
ANNEAL_INLINE Vector<C> fillRest(Vector<C> vector, Part part, C value) {
    using Lane = std::conditional_t<sizeof(C) == 4, int32_t, int64_t>;
    alignas(64) static constexpr Lane numbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    return detail::readBytes<Mask<C>>(numbers) < static_cast<Lane>(part.count) ? vector : splat<C>(value);
}

#if defined(ANNEAL_AVX512)
// Rows become columns: first within quarters of the registers, then the quarters among each other.
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
#endif

// --- functions

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
