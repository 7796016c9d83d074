#include "cpu/conv_pairs.h"

#include <algorithm>
#include <cstring>

#include "cpu/conv_pairs_tile.h"
#include "cpu/onednn.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"

namespace anneal::cpu::pairs {

#if defined(__AVX512BF16__)

namespace {

// Pairs of sources whose weights are brought into order at a time: those of one tap fill a part of the
// first-level cache, those of all taps one of the second-level cache.
constexpr int64_t kPairsTogether = 32;
// Weights and pixels of the output for which bringing the weights into order, which oneDNN does less well,
// takes longer than the products, at which it is the better. Measured on Zen 4.
constexpr int64_t kManyWeights = 64 * 1024, kFewPixels = 512;
constexpr int64_t kPadWords = 16;  // keep the pixels off each other's cache sets

// The weights that lead from each source to each target, of `taps` taps each: `sourceStep` from one source to
// the next, `targetStep` from one target to the next.
struct Weights {
    const float* data;
    int64_t taps, sourceStep, targetStep;

    // Those of the pair of sources from `source` on and of a vector of targets, rounded, to `to`: a vector of
    // pairs for each tap, `tapStep` apart.
    void order(int64_t source, int64_t target, uint32_t* to, int64_t tapStep) const {
        const float* const first = data + source * sourceStep + target * targetStep;
        const float* const second = first + sourceStep;
        // As far as a memory fetch takes: four pairs, or two where every source is a row of its own.
        const int64_t ahead = sourceStep < targetStep ? 8 * sourceStep : 4 * sourceStep;
        const __m512i inTurn = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8,
                                                23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        for (int64_t tap = 0; tap < taps; tap += kWidth) {
            const int count = static_cast<int>(std::min<int64_t>(kWidth, taps - tap));
            const auto mask = static_cast<__mmask16>((1u << count) - 1);
            simd::Vector<float> words[kWidth];
#pragma GCC unroll 16
            for (int lane = 0; lane < kWidth; lane++) {
                const int64_t at = lane * targetStep + tap;
                __builtin_prefetch(first + at + ahead);
                __builtin_prefetch(second + at + ahead);
                const __m512 low = _mm512_maskz_loadu_ps(mask, first + at),
                             high = _mm512_maskz_loadu_ps(mask, second + at);
                const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
                words[lane] = (simd::Vector<float>)_mm512_permutexvar_epi16(inTurn, halves);
            }
            simd::transpose(words);
            for (int i = 0; i < count; i++)
                simd::store(reinterpret_cast<float*>(to) + (tap + i) * tapStep, words[i]);
        }
    }
};

// Each thread computes some of the targets' channels, of all pixels.
void convolve(const Pictures& target, const Pictures& source, const Weights& weights,
              const Meetings& meetings, bool backward, const float* bias) {
    const int64_t taps = weights.taps, pixels = target.count * target.height * target.width;
    const int64_t row = source.channels / 2 + kPadWords;
    auto* const rows =
        static_cast<uint32_t*>(scratch(0, static_cast<size_t>(meetings.count() * row) * sizeof(uint32_t)));
    std::vector<int32_t> targets(meetings.count());
    parallelFor(meetings.count(), 64, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++) {
            const Meetings::Pixels pixel = meetings[i];
            targets[i] = backward ? pixel.in : pixel.out;
            std::memcpy(rows + i * row, source.data + (backward ? pixel.out : pixel.in) * source.channels,
                        source.channels * sizeof(BFloat16));
        }
    });
    constexpr int64_t kTap = kPairsTogether * kColumns;
    const int64_t each = taps * kTap + pixels * kColumns;
    auto* const memory = static_cast<uint32_t*>(
        scratch(1, static_cast<size_t>(each * omp_get_max_threads()) * sizeof(uint32_t)));
    parallelFor((target.channels + kColumns - 1) / kColumns, 1, [&](int64_t first, int64_t last) {
        uint32_t* const ordered = memory + omp_get_thread_num() * each;
        float* const sums = reinterpret_cast<float*>(ordered + taps * kTap);
        for (int64_t panel = first; panel < last; panel++) {
            const int64_t channel = panel * kColumns, columns = std::min(kColumns, target.channels - channel);
            if (columns < kColumns) std::fill_n(ordered, taps * kTap, 0);
            std::fill_n(sums, pixels * kColumns, 0.0f);
            for (int64_t k = 0; k < source.channels; k += 2 * kPairsTogether) {
                const int64_t depth = std::min(2 * kPairsTogether, source.channels - k) / 2;
                for (int64_t column = 0; column < columns; column += kWidth) {
                    for (int64_t pair = 0; pair < depth; pair++) {
                        weights.order(k + 2 * pair, channel + column, ordered + pair * kColumns + column,
                                      kTap);
                    }
                }
                for (int64_t tap = 0; tap < taps; tap++) {
                    const int64_t begin = meetings.begin(tap);
                    product(meetings.count(tap), depth, rows + begin * row + k / 2, row, 1,
                            ordered + tap * kTap, sums, targets.data() + begin, true);
                }
            }
            for (int64_t pixel = 0; pixel < pixels; pixel++) {
                for (int64_t c = 0; c < columns; c += kWidth) {
                    simd::Vector<float> value = simd::load(sums + pixel * kColumns + c);
                    if (bias) value += simd::load(bias + channel + c);
                    simd::store(target.data + pixel * target.channels + channel + c, value);
                }
            }
        }
    });
}

}  // namespace

bool computes(const Dims& weight, DType dtype, const ConvGeometry& g) {
    static const bool native = __builtin_cpu_supports("avx512bf16") && !onednn::hasMatrixUnits();
    return native && dtype == DType::BFloat16 && g.groups == 1 && weight[0] % kWidth == 0 &&
           weight[1] % kWidth == 0;
}

bool suits(ConvDirection direction, const View& weight, const View& out, const ConvGeometry& g) {
    if (!computes(weight.sizes, out.dtype, g)) return false;
    // With a single tap oneDNN is as fast, or faster.
    if (weight.sizes[2] * weight.sizes[3] == 1) return false;
    if (direction == ConvDirection::BackwardWeight) return true;
    const int64_t pixels = out.sizes[0] * out.sizes[2] * out.sizes[3];
    return weight.numel() >= kManyWeights && pixels <= kFewPixels;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    const Pictures target(out), source(input);
    const int64_t taps = weight.sizes[2] * weight.sizes[3];
    convolve(target, source, {weight.as<const float>(), taps, taps, weight.sizes[1] * taps},
             Meetings(target, source, weight.sizes, g), false, bias ? bias->as<const float>() : nullptr);
}

void backwardInput(const View& gradInput, const View& gradOutput, const View& weight, const ConvGeometry& g) {
    const Pictures target(gradInput), source(gradOutput);
    const int64_t taps = weight.sizes[2] * weight.sizes[3];
    convolve(target, source, {weight.as<const float>(), taps, weight.sizes[1] * taps, taps},
             Meetings(source, target, weight.sizes, g), true, nullptr);
}

#else

bool computes(const Dims&, DType, const ConvGeometry&) { return false; }
bool suits(ConvDirection, const View&, const View&, const ConvGeometry&) { return false; }
void forward(const View&, const View&, const View&, const View*, const ConvGeometry&) {}
void backwardInput(const View&, const View&, const View&, const ConvGeometry&) {}

#endif

}  // namespace anneal::cpu::pairs
