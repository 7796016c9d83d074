#include "cpu/conv_pairs.h"

#include <algorithm>

#include "cpu/onednn.h"
#include "cpu/parallel.h"
#include "cpu/winograd_planes.h"

namespace anneal::cpu::pairs {

#if defined(__AVX512BF16__)

namespace {

constexpr int kRows = 12, kWidth = 16;
constexpr int64_t kRowPanel = 4 * kRows, kColumnPanel = 2 * kWidth;
// Pairs of pixels that are worked on at a time: their taps stay in the caches.
constexpr int64_t kPackedBytes = 2 * 1024 * 1024;

// [panel][pair of pixels][channels of the panel], two pixels' values to a word.
struct Packed {
    uint32_t* data;
    int64_t width, depth;
    static int64_t size(int64_t depth, int64_t channels, int64_t width) {
        return (channels + width - 1) / width * width * depth;
    }
    // The panel that begins with a channel.
    const uint32_t* panel(int64_t channel) const { return data + channel * depth; }
    void put(int64_t pair, const BFloat16* first, const BFloat16* second, int64_t channels) const {
        uint32_t* to = data + pair * width;
        for (int64_t begin = 0; begin < channels; begin += width, to += width * depth) {
            for (int64_t c = begin; c < std::min(begin + width, channels); c += kWidth) {
                const auto words = [&](const BFloat16* from) {
                    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + c));
                    return _mm512_maskz_cvtepu16_epi32(0xffff, halves);
                };
                const __m512i high = _mm512_maskz_slli_epi32(0xffff, words(second), 16);
                _mm512_storeu_si512(to + c - begin, _mm512_or_si512(words(first), high));
            }
        }
    }
};

// c[i][j] += the sum over pairs of a's and b's products, for `Rows` rows and two vectors of columns.
template <int Rows>
void tile(int64_t depth, const uint32_t* a, const uint32_t* b, float* c, int64_t cRow) {
    __m512 sum[Rows][2];
#pragma GCC unroll 12
    for (int i = 0; i < Rows; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k++, a += kRowPanel, b += kColumnPanel) {
        const __m512bh left = (__m512bh)_mm512_loadu_si512(b),
                       right = (__m512bh)_mm512_loadu_si512(b + kWidth);
#pragma GCC unroll 12
        for (int i = 0; i < Rows; i++) {
            const __m512bh value = (__m512bh)_mm512_set1_epi32(static_cast<int>(a[i]));
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], value, left);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], value, right);
        }
    }
#pragma GCC unroll 12
    for (int i = 0; i < Rows; i++) {
        for (int v = 0; v < 2; v++) {
            float* const to = c + i * cRow + v * kWidth;
            _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), sum[i][v]));
        }
    }
}

// What is left of a panel's rows is a multiple of four: channels are one of sixteen.
void product(int64_t rows, int64_t depth, const uint32_t* a, const uint32_t* b, float* c, int64_t cRow) {
    for (int64_t i = 0; i < rows; i += kRows) {
        const auto run = rows - i >= kRows ? tile<kRows> : rows - i == 8 ? tile<8> : tile<4>;
        run(depth, a + i, b, c + i * cRow, cRow);
    }
}

// Where the kernel stands for an output pixel, and what lies below its taps.
struct Place {
    int64_t picture, row, column;  // of the first tap
    Place(int64_t index, const winograd::Pictures<BFloat16>& out, const ConvGeometry& g)
        : picture(index / (out.width * out.height)),
          row(index / out.width % out.height * g.stride[0] - g.padding[0]),
          column(index % out.width * g.stride[1] - g.padding[1]) {}
    const BFloat16* pixel(const winograd::Pictures<BFloat16>& in, int64_t down, int64_t right,
                          const BFloat16* outside) const {
        const int64_t i = row + down, j = column + right;
        return i >= 0 && i < in.height && j >= 0 && j < in.width ? in.at(picture, i, j) : outside;
    }
};

}  // namespace

bool suits(const Dims& weight, DType dtype, const ConvGeometry& g) {
    static const bool native = __builtin_cpu_supports("avx512bf16") && !onednn::hasMatrixUnits();
    return native && dtype == DType::BFloat16 && g.groups == 1 && weight[0] % kWidth == 0 &&
           weight[1] % kWidth == 0 && weight[2] * weight[3] > 1;
}

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    const winograd::Pictures<BFloat16> in(input), gradient(gradOutput);
    const int64_t outputs = gradient.channels, inputs = in.channels;
    const int64_t kernelWidth = gradWeight.sizes[3], taps = gradWeight.sizes[2] * kernelWidth;
    const int64_t pixels = gradient.count * gradient.height * gradient.width, pairs = (pixels + 1) / 2;
    const int64_t fitting = std::max<int64_t>(kPackedBytes / (4 * taps * inputs), 64);
    const int64_t rounds = (pairs + fitting - 1) / fitting, together = (pairs + rounds - 1) / rounds;
    const int64_t rowWords = Packed::size(together, outputs, kRowPanel),
                  columnWords = Packed::size(together, inputs, kColumnPanel);
    // The last panel of columns may be half full.
    const int64_t sumRow = (inputs + kColumnPanel - 1) / kColumnPanel * kColumnPanel,
                  sumTap = outputs * sumRow;
    auto* const words = static_cast<uint32_t*>(
        onednn::scratch(0, static_cast<size_t>(rowWords + taps * columnWords) * sizeof(uint32_t)));
    auto* const sums =
        static_cast<float*>(onednn::scratch(1, static_cast<size_t>(taps * sumTap) * sizeof(float)));
    const Packed rows{words, kRowPanel, together};
    const auto columns = [&](int64_t tap) {
        return Packed{words + rowWords + tap * columnWords, kColumnPanel, together};
    };
    const auto* const none = winograd::zeros<BFloat16>(std::max(inputs, outputs));
    parallelFor(taps * sumTap, kGrain,
                [&](int64_t begin, int64_t end) { std::fill(sums + begin, sums + end, 0.0f); });
    for (int64_t start = 0; start < pairs; start += together) {
        const int64_t count = std::min(together, pairs - start);
        parallelFor(count, 16, [&](int64_t begin, int64_t end) {
            for (int64_t pair = begin; pair < end; pair++) {
                const int64_t first = 2 * (start + pair), second = first + 1;
                const bool whole = second < pixels;
                rows.put(pair, gradient.data + first * outputs,
                         whole ? gradient.data + second * outputs : none, outputs);
                const Place left(first, gradient, g), right(second, gradient, g);
                for (int64_t tap = 0; tap < taps; tap++) {
                    const int64_t i = tap / kernelWidth * g.dilation[0],
                                  j = tap % kernelWidth * g.dilation[1];
                    columns(tap).put(pair, left.pixel(in, i, j, none),
                                     whole ? right.pixel(in, i, j, none) : none, inputs);
                }
            }
        });
        const int64_t panels = (outputs + kRowPanel - 1) / kRowPanel;
        parallelFor(taps * panels, 1, [&](int64_t first, int64_t last) {
            for (int64_t index = first; index < last; index++) {
                const int64_t tap = index / panels, output = index % panels * kRowPanel;
                for (int64_t input = 0; input < inputs; input += kColumnPanel) {
                    product(std::min(kRowPanel, outputs - output), count, rows.panel(output),
                            columns(tap).panel(input), sums + tap * sumTap + output * sumRow + input, sumRow);
                }
            }
        });
    }
    float* const weight = gradWeight.as<float>();
    parallelFor(outputs, 16, [&](int64_t begin, int64_t end) {
        for (int64_t output = begin; output < end; output++) {
            for (int64_t input = 0; input < inputs; input += kWidth) {
                const float* const from = sums + output * sumRow + input;
                float* const to = weight + (output * inputs + input) * taps;
                if (taps == 9) {
                    winograd::V nine[9];
                    for (int tap = 0; tap < 9; tap++) nine[tap] = simd::load(from + tap * sumTap);
                    winograd::storeTaps(to, 9, nine);
                    continue;
                }
                for (int64_t tap = 0; tap < taps; tap++) {
                    for (int lane = 0; lane < kWidth; lane++)
                        to[lane * taps + tap] = from[tap * sumTap + lane];
                }
            }
        }
    });
}

#else

bool suits(const Dims&, DType, const ConvGeometry&) { return false; }
void backwardWeight(const View&, const View&, const View&, const ConvGeometry&) {}

#endif

}  // namespace anneal::cpu::pairs
