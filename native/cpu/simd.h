#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "cpu/simd_functions.h"
#include "cpu/simd_lanes.h"
#include "cpu/simd_transpose.h"

// Vectors as wide as the processor's registers through the compiler's vector extension, with plain operators.
// Kernels are written once over them, for every storage type: half precision is widened when loaded and
// rounded when stored. The few intrinsics stand where GCC 12 takes the generic form apart, lane by lane.
namespace anneal::cpu::simd {

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

// So that the compiler does not read it from memory again for each use.
ANNEAL_INLINE void keepInRegister(Vector<float>& value) {
#if defined(ANNEAL_AVX512)
    asm("" : "+v"(value));
#elif defined(ANNEAL_AVX2)
    asm("" : "+x"(value));
#else
    (void)value;
#endif
}

// Past the caches, to an address that is a multiple of the vector's size: for what is written whole and not
// read soon, since an ordinary store reads its line first. Whoever reads it on another thread needs
// streamed().
ANNEAL_INLINE void stream(float* to, Vector<float> value) {
#if defined(ANNEAL_AVX512)
    _mm512_stream_ps(to, reinterpret_cast<__m512>(value));
#elif defined(ANNEAL_AVX2)
    _mm256_stream_ps(to, reinterpret_cast<__m256>(value));
#else
    store(to, value);
#endif
}

// Whether so many floats are better written that way: they would only pass through the caches.
inline bool worthStreaming(const float* to, int64_t count) {
    constexpr int64_t kLine = 64, kMany = 256 * 1024;
    return count >= kMany && reinterpret_cast<uintptr_t>(to) % kLine == 0;
}

ANNEAL_INLINE void streamed() {
#if defined(ANNEAL_AVX512) || defined(ANNEAL_AVX2)
    _mm_sfence();
#endif
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
    if constexpr (std::is_same_v<T, Compute<T>>) {
        detail::storeFirst(to, reinterpret_cast<__m256i>(value), part.count * static_cast<int>(sizeof(T)));
        return;
    }
#endif
    T lanes[Lanes<Compute<T>>::kCount];
    store(lanes, value);
    for (int i = 0; i < part.count; i++) to[i] = lanes[i];
#endif
}

// --- rounded by the processor's own instruction, where it has one

// As store, in a fifth of the instructions for bfloat16. It makes zeros of subnormal numbers.
template <typename T, typename L = Full>
ANNEAL_INLINE void storeRounded(T* to, Vector<Compute<T>> value, L lanes = {}) {
#if defined(__AVX512BF16__) && defined(ANNEAL_AVX512)
    if constexpr (std::is_same_v<T, BFloat16>) {
        const auto halves = (__m256i)_mm512_cvtneps_pbh(reinterpret_cast<__m512>(value));
        if constexpr (std::is_same_v<L, Part>) {
            _mm256_mask_storeu_epi16(to, detail::firstLanes(lanes), halves);
        } else {
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), halves);
        }
        return;
    }
#endif
    store(to, value, lanes);
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
    if constexpr (sizeof(I) == 1 && Lanes<C>::kCount <= 8) {
        const uint64_t packed = detail::readFirst(from, part.count);
        return detail::fromBytes<C>(detail::readBytes<typename Lanes<C>::Bytes>(&packed));
    }
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
    if constexpr (sizeof(I) == 1 && Lanes<C>::kCount <= 8) {
        uint64_t packed = 0;
        const auto bytes = detail::toBytes<C>(value);
        std::memcpy(&packed, &bytes, sizeof bytes);
        detail::writeFirst(to, packed, part.count);
        return;
    }
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

}  // namespace anneal::cpu::simd
