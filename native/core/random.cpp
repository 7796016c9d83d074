#include "core/random.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

// PyTorch's kernels run with fused multiply-add wherever the processor has it, which changes last bits. The
// kernels here are therefore compiled twice, and the processor decides at run time.
#if defined(__GNUC__)
#define ANNEAL_INLINE inline __attribute__((always_inline))
#else
#define ANNEAL_INLINE inline
#endif
#if defined(__GNUC__) && defined(__x86_64__)
#define ANNEAL_FUSED_TARGET __attribute__((target("avx2,fma")))
#endif

namespace anneal {
namespace {

constexpr int64_t kChunk = 1024;  // draws held at a time: 4 KB, within the first-level cache
constexpr int kHalfBlock = 8;
constexpr int64_t kBlock = 2 * kHalfBlock;

bool hasFusedMultiplyAdd() {
#if defined(ANNEAL_FUSED_TARGET)
    static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return has;
#elif defined(__aarch64__) || defined(__FMA__)
    return true;
#else
    return false;
#endif
}

struct Fused {
    static ANNEAL_INLINE float multiplyAdd(float a, float b, float c) { return std::fma(a, b, c); }
    static ANNEAL_INLINE double multiplyAdd(double a, double b, double c) { return std::fma(a, b, c); }
};

struct Separate {
    template <typename T>
    static ANNEAL_INLINE T multiplyAdd(T a, T b, T c) {
        return a * b + c;
    }
};

// The word (or pair of words) behind one uniform number, as a number in [0, 1).
ANNEAL_INLINE float unitFloat(uint32_t word) {
    return static_cast<float>(static_cast<int32_t>(word & 0xffffffU)) * (1.0F / (1U << 24));
}

ANNEAL_INLINE uint64_t joinWords(const uint32_t* pair) { return (uint64_t{pair[0]} << 32) | pair[1]; }

template <typename T>
struct Uniform;

template <>
struct Uniform<float> {
    static constexpr int kWords = 1;
    static ANNEAL_INLINE float unit(const uint32_t* words) { return unitFloat(*words); }
};

template <>
struct Uniform<double> {
    static constexpr int kWords = 2;
    static ANNEAL_INLINE double unit(const uint32_t* words) { return unitDouble(joinWords(words)); }
};

// Draws `words` words for each of `count` values and hands them to `body(words, first, number)` chunk by
// chunk.
template <int kWordsEach, typename Body>
ANNEAL_INLINE void forChunks(Generator& generator, int64_t count, Body&& body) {
    constexpr int64_t kEach = kChunk / kWordsEach;
    uint32_t words[kChunk];
    for (int64_t first = 0; first < count; first += kEach) {
        const int64_t number = std::min(kEach, count - first);
        generator.random(words, static_cast<size_t>(number) * kWordsEach);
        body(words, first, number);
    }
}

template <typename Arithmetic, typename T>
ANNEAL_INLINE void uniformKernel(const uint32_t* words, T* out, int64_t count, T from, T width) {
    for (int64_t i = 0; i < count; ++i) {
        out[i] = Arithmetic::multiplyAdd(Uniform<T>::unit(words + i * Uniform<T>::kWords), width, from);
    }
}

// Natural logarithm of the number whose bits these are, normal and in (0, 1], to about one unit in the last
// place. The polynomial and the split of log(2) are those of Moshier's Cephes library (logf), which PyTorch's
// vector code also evaluates: that makes the normals the same to the bit where fused multiply-add is at hand.
template <typename Arithmetic>
ANNEAL_INLINE float logOfUnit(int32_t bits) {
    const int32_t exponent = (bits >> 23) - 126;
    const int32_t fractionBits = (bits & 0x007fffff) | 0x3f000000;
    float fraction;  // the number is fraction * 2^exponent, fraction in [0.5, 1)
    std::memcpy(&fraction, &fractionBits, sizeof fraction);

    // Below sqrt(1/2): double the fraction and take one from the exponent. Written without a branch, as all
    // here, so that the loop around it becomes vector code.
    const int32_t small = fraction < 0.707106781186547524F ? 1 : 0;
    const float e = static_cast<float>(exponent - small);
    const float f = (fraction - 1.0F) + static_cast<float>(small) * fraction;
    const float square = f * f;

    float sum = 7.0376836292e-2F;
    sum = Arithmetic::multiplyAdd(sum, f, -1.1514610310e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, 1.1676998740e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, -1.2420140846e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, 1.4249322787e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, -1.6668057665e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, 2.0000714765e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, -2.4999993993e-1F);
    sum = Arithmetic::multiplyAdd(sum, f, 3.3333331174e-1F);
    sum = Arithmetic::multiplyAdd(sum * f, square, e * -2.12194440e-4F);
    sum = Arithmetic::multiplyAdd(square, -0.5F, sum);
    return Arithmetic::multiplyAdd(e, 0.693359375F, f + sum);
}

// Sine and cosine of an angle in [0, 2 pi], after Cephes' sinf and cosf: reduce to within pi/4 of a multiple
// of pi/2 in three exact steps, evaluate both polynomials, then choose and sign by quadrant.
template <typename Arithmetic>
ANNEAL_INLINE void sineCosine(float angle, float& sine, float& cosine) {
    const int32_t octant = static_cast<int32_t>(angle * 1.27323954473516F);  // angle / (pi/4)
    const int32_t even = (octant + 1) & ~1;
    const float turns = static_cast<float>(even);
    float x = Arithmetic::multiplyAdd(turns, -0.78515625F, angle);
    x = Arithmetic::multiplyAdd(turns, -2.4187564849853515625e-4F, x);
    x = Arithmetic::multiplyAdd(turns, -3.77489497744594108e-8F, x);
    const float square = x * x;

    float quadratic = 2.443315711809948e-5F;
    quadratic = Arithmetic::multiplyAdd(quadratic, square, -1.388731625493765e-3F);
    quadratic = Arithmetic::multiplyAdd(quadratic, square, 4.166664568298827e-2F);
    const float cosineOfX = Arithmetic::multiplyAdd(quadratic * square, square, -0.5F * square) + 1.0F;

    float odd = -1.9515295891e-4F;
    odd = Arithmetic::multiplyAdd(odd, square, 8.3321608736e-3F);
    odd = Arithmetic::multiplyAdd(odd, square, -1.6666654611e-1F);
    const float sineOfX = Arithmetic::multiplyAdd(odd * square, x, x);

    const bool swap = (even & 2) != 0;
    const float sineSize = swap ? cosineOfX : sineOfX;
    const float cosineSize = swap ? sineOfX : cosineOfX;
    sine = (even & 4) != 0 ? -sineSize : sineSize;
    cosine = ((even + 2) & 4) != 0 ? -cosineSize : cosineSize;
}

// Box-Muller on one block of uniforms in [0, 1): value j and value j + 8 make a pair. The square root has a
// loop of its own because it may set errno, which would keep the rest from being vectorised.
template <typename Arithmetic>
ANNEAL_INLINE void normalBlock(float* block, float mean, float std) {
    float radius[kHalfBlock];
    int32_t bits[kHalfBlock];
    for (int j = 0; j < kHalfBlock; ++j) radius[j] = 1.0F - block[j];
    std::memcpy(bits, radius, sizeof bits);
    for (int j = 0; j < kHalfBlock; ++j) radius[j] = -2.0F * logOfUnit<Arithmetic>(bits[j]);
    for (int j = 0; j < kHalfBlock; ++j) radius[j] = std::sqrt(radius[j]);
    for (int j = 0; j < kHalfBlock; ++j) {
        float sine;
        float cosine;
        sineCosine<Arithmetic>(static_cast<float>(2 * kPi) * block[j + kHalfBlock], sine, cosine);
        block[j] = Arithmetic::multiplyAdd(radius[j] * cosine, std, mean);
        block[j + kHalfBlock] = Arithmetic::multiplyAdd(radius[j] * sine, std, mean);
    }
}

template <typename Arithmetic>
ANNEAL_INLINE void normalBlock(double* block, double mean, double std) {
    for (int j = 0; j < kHalfBlock; ++j) {
        const double radius = std::sqrt(-2.0 * std::log(1.0 - block[j]));
        const double angle = 2.0 * kPi * block[j + kHalfBlock];
        block[j] = Arithmetic::multiplyAdd(radius * std::cos(angle), std, mean);
        block[j + kHalfBlock] = Arithmetic::multiplyAdd(radius * std::sin(angle), std, mean);
    }
}

template <typename Arithmetic, typename T>
ANNEAL_INLINE void normalBlocks(T* data, int64_t blocks, T mean, T std) {
    for (int64_t b = 0; b < blocks; ++b) normalBlock<Arithmetic>(data + b * kBlock, mean, std);
}

#if defined(ANNEAL_FUSED_TARGET)
template <typename T>
ANNEAL_FUSED_TARGET void uniformFused(const uint32_t* words, T* out, int64_t count, T from, T width) {
    uniformKernel<Fused>(words, out, count, from, width);
}
template <typename T>
ANNEAL_FUSED_TARGET void normalFused(T* data, int64_t blocks, T mean, T std) {
    normalBlocks<Fused>(data, blocks, mean, std);
}
ANNEAL_FUSED_TARGET double multiplyAddFused(double a, double b, double c) {
    return Fused::multiplyAdd(a, b, c);
}
#else
template <typename T>
void uniformFused(const uint32_t* words, T* out, int64_t count, T from, T width) {
    uniformKernel<Fused>(words, out, count, from, width);
}
template <typename T>
void normalFused(T* data, int64_t blocks, T mean, T std) {
    normalBlocks<Fused>(data, blocks, mean, std);
}
double multiplyAddFused(double a, double b, double c) { return Fused::multiplyAdd(a, b, c); }
#endif

template <typename T>
void uniform(Generator& generator, T* out, int64_t count, double from, double to) {
    const T low = static_cast<T>(from);
    const T width = static_cast<T>(to) - low;
    const bool fused = hasFusedMultiplyAdd();
    forChunks<Uniform<T>::kWords>(generator, count,
                                  [&](const uint32_t* words, int64_t first, int64_t number) {
                                      if (fused) {
                                          uniformFused<T>(words, out + first, number, low, width);
                                      } else {
                                          uniformKernel<Separate>(words, out + first, number, low, width);
                                      }
                                  });
}

template <typename T>
void normalOneByOne(Generator& generator, T* out, int64_t count, double mean, double std) {
    const bool fused = hasFusedMultiplyAdd();
    for (int64_t i = 0; i < count; ++i) {
        const double sample = generator.normal();
        out[i] = static_cast<T>(fused ? multiplyAddFused(sample, std, mean) : sample * std + mean);
    }
}

template <typename T>
void normalFill(Generator& generator, T* out, int64_t count, double mean, double std) {
    if (count < kBlock) {
        normalOneByOne(generator, out, count, mean, std);
        return;
    }
    const T centre = static_cast<T>(mean);
    const T deviation = static_cast<T>(std);
    const bool fused = hasFusedMultiplyAdd();
    const auto turnNormal = [&](T* data, int64_t blocks) {
        if (fused) {
            normalFused<T>(data, blocks, centre, deviation);
        } else {
            normalBlocks<Separate>(data, blocks, centre, deviation);
        }
    };
    // All draws come first, in order; the blocks are independent, so each chunk can be turned while it is in
    // cache.
    for (int64_t first = 0; first < count; first += kChunk) {
        const int64_t number = std::min(kChunk, count - first);
        uniform<T>(generator, out + first, number, 0, 1);
        turnNormal(out + first, number / kBlock);
    }
    if (count % kBlock != 0) {
        T* const tail = out + count - kBlock;
        uniform<T>(generator, tail, kBlock, 0, 1);
        turnNormal(tail, 1);
    }
}

template <typename P, typename T, typename Probability>
void bernoulli(Generator& generator, T* out, int64_t count, Probability&& probability) {
    constexpr int kEach = Uniform<P>::kWords;
    forChunks<kEach>(generator, count, [&](const uint32_t* words, int64_t first, int64_t number) {
        for (int64_t i = 0; i < number; ++i) {
            out[first + i] = static_cast<T>(Uniform<P>::unit(words + i * kEach) < probability(first + i));
        }
    });
}

template <typename T>
constexpr bool takesWideDraws() {
    return sizeof(T) == 8 || std::is_floating_point<T>::value;
}

template <typename T>
void exponential(Generator& generator, T* out, int64_t count, double lambda) {
    for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<T>(-1.0 / lambda * std::log(1.0 - unitDouble(generator.random64())));
    }
}

}  // namespace

void fillUniform(Generator& generator, float* out, int64_t count, double from, double to) {
    uniform(generator, out, count, from, to);
}

void fillUniform(Generator& generator, double* out, int64_t count, double from, double to) {
    uniform(generator, out, count, from, to);
}

void fillNormal(Generator& generator, float* out, int64_t count, double mean, double std) {
    normalFill(generator, out, count, mean, std);
}

void fillNormal(Generator& generator, double* out, int64_t count, double mean, double std) {
    normalFill(generator, out, count, mean, std);
}

void fillNormalOneByOne(Generator& generator, float* out, int64_t count, double mean, double std) {
    normalOneByOne(generator, out, count, mean, std);
}

void fillNormalOneByOne(Generator& generator, double* out, int64_t count, double mean, double std) {
    normalOneByOne(generator, out, count, mean, std);
}

template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, double p) {
    bernoulli<double>(generator, out, count, [p](int64_t) { return p; });
}

template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, const float* p) {
    bernoulli<float>(generator, out, count, [p](int64_t i) { return p[i]; });
}

template <typename T>
void fillBernoulli(Generator& generator, T* out, int64_t count, const double* p) {
    bernoulli<double>(generator, out, count, [p](int64_t i) { return p[i]; });
}

template <typename T>
void fillRandint(Generator& generator, T* out, int64_t count, int64_t low, uint64_t range) {
    // Unsigned sums wrap, which is what takes a 64-bit remainder back below zero where `low` is negative.
    const auto shift = [low](uint64_t rest) {
        return static_cast<int64_t>(rest + static_cast<uint64_t>(low));
    };
    if (takesWideDraws<T>() && range >= (uint64_t{1} << 32)) {
        for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(shift(generator.random64() % range));
        return;
    }
    forChunks<1>(generator, count, [&](const uint32_t* words, int64_t first, int64_t number) {
        for (int64_t i = 0; i < number; ++i) out[first + i] = static_cast<T>(shift(words[i] % range));
    });
}

void fillRandomInt64(Generator& generator, int64_t* out, int64_t count) {
    for (int64_t i = 0; i < count; ++i) out[i] = static_cast<int64_t>(generator.random64() & INT64_MAX);
}

void fillRandperm(Generator& generator, int64_t* out, int64_t count) {
    if (count >= static_cast<int64_t>(UINT32_MAX / 20)) {
        // The remainder of a 32-bit draw would be visibly uneven here. Inside-out shuffle: each new value
        // takes the place of a random earlier one.
        for (int64_t i = 0; i < count; ++i) {
            const int64_t place = static_cast<int64_t>(generator.random64() % static_cast<uint64_t>(i + 1));
            out[i] = i;
            out[i] = out[place];
            out[place] = i;
        }
        return;
    }
    for (int64_t i = 0; i < count; ++i) out[i] = i;
    for (int64_t i = 0; i + 1 < count; ++i) {
        const int64_t ahead = generator.random() % static_cast<uint32_t>(count - i);
        std::swap(out[i], out[i + ahead]);
    }
}

void fillExponential(Generator& generator, float* out, int64_t count, double lambda) {
    exponential(generator, out, count, lambda);
}

void fillExponential(Generator& generator, double* out, int64_t count, double lambda) {
    exponential(generator, out, count, lambda);
}

#define ANNEAL_INSTANTIATE(T)                                               \
    template void fillBernoulli<T>(Generator&, T*, int64_t, double);        \
    template void fillBernoulli<T>(Generator&, T*, int64_t, const float*);  \
    template void fillBernoulli<T>(Generator&, T*, int64_t, const double*); \
    template void fillRandint<T>(Generator&, T*, int64_t, int64_t, uint64_t);
ANNEAL_INSTANTIATE(float)
ANNEAL_INSTANTIATE(double)
ANNEAL_INSTANTIATE(int64_t)
ANNEAL_INSTANTIATE(int32_t)
ANNEAL_INSTANTIATE(uint8_t)
#undef ANNEAL_INSTANTIATE

}  // namespace anneal
