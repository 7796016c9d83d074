#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/dtype.h"

#define ANNEAL_INLINE inline __attribute__((always_inline))

// The vectors of simd.h, and their conversion to what storage types and masks are in memory: what differs
// from one instruction set to the next.
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

// By subtraction, which the compiler may leave out: adding zero turns -0 into 0.
template <typename C>
ANNEAL_INLINE Vector<C> splat(C value) {
    return value - Vector<C>{};
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

#if defined(ANNEAL_AVX2)
// The first bytes, a multiple of 4, piece by piece: AMD's processors take a dozen cycles for a masked store.
ANNEAL_INLINE void storeFirst(void* to, __m256i value, int bytes) {
    auto* at = static_cast<char*>(to);
    if (bytes == 32) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
    __m128i rest = _mm256_castsi256_si128(value);
    if (bytes & 16) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(at), rest);
        rest = _mm256_extracti128_si256(value, 1);
        at += 16;
    }
    if (bytes & 8) {
        _mm_storel_epi64(reinterpret_cast<__m128i*>(at), rest);
        rest = _mm_unpackhi_epi64(rest, rest);
        at += 8;
    }
    if (bytes & 4) {
        const int word = _mm_cvtsi128_si32(rest);
        std::memcpy(at, &word, sizeof word);
    }
}
#endif

// Up to 8 bytes, the first one lowest, in two pieces that may overlap.
ANNEAL_INLINE uint64_t readFirst(const uint8_t* from, int count) {
    const auto pieces = [=](auto type) {
        decltype(type) first, last;
        const int rest = count - static_cast<int>(sizeof type);
        std::memcpy(&first, from, sizeof first);
        std::memcpy(&last, from + rest, sizeof last);
        return static_cast<uint64_t>(first) | static_cast<uint64_t>(last) << (8 * rest);
    };
    return count >= 4 ? pieces(uint32_t{}) : count >= 2 ? pieces(uint16_t{}) : pieces(uint8_t{});
}
ANNEAL_INLINE void writeFirst(uint8_t* to, uint64_t packed, int count) {
    const auto pieces = [=](auto type) {
        const int rest = count - static_cast<int>(sizeof type);
        const auto first = static_cast<decltype(type)>(packed),
                   last = static_cast<decltype(type)>(packed >> (8 * rest));
        std::memcpy(to, &first, sizeof first);
        std::memcpy(to + rest, &last, sizeof last);
    };
    count >= 4 ? pieces(uint32_t{}) : count >= 2 ? pieces(uint16_t{}) : pieces(uint8_t{});
}

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
#if defined(ANNEAL_AVX512)
    // Into the upper halves of words, in one instruction instead of two.
    constexpr __mmask32 kUpper = 0xaaaaaaaa;
    const __m512i sources = _mm512_set_epi16(15, 0, 14, 0, 13, 0, 12, 0, 11, 0, 10, 0, 9, 0, 8, 0, 7, 0, 6, 0,
                                             5, 0, 4, 0, 3, 0, 2, 0, 1, 0, 0, 0);
    const __m512i all = _mm512_castsi256_si512(reinterpret_cast<__m256i>(halves));
    return reinterpret_cast<Vector<float>>(_mm512_maskz_permutexvar_epi16(kUpper, sources, all));
#else
    return reinterpret_cast<Vector<float>>(toWords(halves) << 16);
#endif
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

}  // namespace anneal::cpu::simd
