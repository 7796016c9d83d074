#include <algorithm>
#include <numeric>

#include "cpu/conv_pairs.h"
#include "cpu/conv_pairs_tile.h"
#include "cpu/parallel.h"
#include "cpu/scratch.h"
#include "cpu/shared_cache.h"

// The gradient of weights: for each tap a matrix product over all pixels, on operands in which two pixels
// stand side by side.
namespace anneal::cpu::pairs {

#if defined(__AVX512BF16__)

namespace {

// Channels of the output and of the input whose weights' gradients are summed at a time, for all taps.
constexpr int64_t kRowPanel = 64;
constexpr int64_t kBlock = kRowPanel * kColumns;
// Pairs of pixels that are worked on at a time: their taps stay in the caches.
constexpr int64_t kPackedBytes = 2 * 1024 * 1024;
// Pixels, and the part of the taps' meetings that must fall on the padding, for leaving these out.
constexpr int64_t kFewPixels = 2048;
constexpr double kWorthLeavingOut = 0.1;

// [panel][pair of pixels][channels of the panel], two pixels' values to a word.
struct Packed {
    uint32_t* data;
    int64_t width, depth;
    static int64_t size(int64_t depth, int64_t channels, int64_t width) {
        return (channels + width - 1) / width * width * depth;
    }
    // The panel that begins with a channel.
    const uint32_t* panel(int64_t channel) const { return data + channel * depth; }
    // Channels [begin, end), a panel or several.
    void put(int64_t pair, const BFloat16* first, const BFloat16* second, int64_t begin, int64_t end) const {
        for (int64_t channel = begin; channel < end; channel += width) {
            uint32_t* const to = data + channel * depth + pair * width;
            for (int64_t c = channel; c < std::min(channel + width, end); c += kWidth) {
                const auto words = [&](const BFloat16* from) {
                    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + c));
                    return _mm512_maskz_cvtepu16_epi32(0xffff, halves);
                };
                const __m512i high = _mm512_maskz_slli_epi32(0xffff, words(second), 16);
                _mm512_storeu_si512(to + c - channel, _mm512_or_si512(words(first), high));
            }
        }
    }
};

// What one tap's product is made of.
struct Operands {
    Packed gradient, input;
    int64_t pairs;
};

// The weights' gradient from its sums, [row][kColumns] for each tap, for a vector of input channels.
void finish(float* to, const float* sums, int64_t taps, bool streams) {
    alignas(64) float lines[kWidth * (kWidth + 1)];
    for (int64_t tap = 0; tap < taps; tap += kWidth) {
        const int count = static_cast<int>(std::min<int64_t>(kWidth, taps - tap));
        simd::Vector<float> rows[kWidth];
        for (int i = 0; i < kWidth; i++)
            rows[i] = i < count ? simd::load(sums + (tap + i) * kBlock) : simd::Vector<float>{};
        simd::transpose(rows);
        if (streams) {
            // What a row is too long for is written over by the next one.
            for (int lane = 0; lane < kWidth; lane++) simd::store(lines + lane * taps, rows[lane]);
            for (int i = 0; i < taps; i++) simd::stream(to + i * kWidth, simd::load(lines + i * kWidth));
            return;
        }
        for (int lane = 0; lane < kWidth; lane++)
            simd::store(to + lane * taps + tap, rows[lane], simd::Part{count});
    }
}

// Sums of products by blocks of the weights' gradient.
class Gradient {
  public:
    Gradient(const View& weight, int64_t rounds)
        : to_(weight.as<float>()),
          outputs_(weight.sizes[0]),
          inputs_(weight.sizes[1]),
          taps_(weight.sizes[2] * weight.sizes[3]),
          rowPanels_((outputs_ + kRowPanel - 1) / kRowPanel),
          blocks_(rowPanels_ * ((inputs_ + kColumns - 1) / kColumns)),
          // Enough blocks to share among the threads: then each is finished while it is in a cache.
          whole_(blocks_ >= 4 * omp_get_max_threads()),
          passing_(whole_ && rounds == 1),
          streams_(taps_ <= kWidth && simd::worthStreaming(weight.as<float>(), weight.numel())),
          sums_(static_cast<float*>(
              scratch(1, static_cast<size_t>((passing_ ? omp_get_max_threads() : blocks_) * taps_ * kBlock) *
                             sizeof(float)))) {
        std::iota(rows_, rows_ + kRowPanel, 0);
    }

    template <typename OperandsOf>
    void add(const OperandsOf& operandsOf, bool first, bool last) {
        const int64_t taps = whole_ ? taps_ : 1;
        parallelFor(blocks_ * taps_ / taps, 1, [&](int64_t begin, int64_t end) {
            for (int64_t index = begin; index < end; index++) {
                const int64_t block = index * taps / taps_, tap = index * taps % taps_;
                float* const sums = sumsOf(block);
                for (int64_t i = tap; i < tap + taps; i++) {
                    const Operands operands = operandsOf(i);
                    product(rowCount(block), operands.pairs, operands.gradient.panel(output(block)), 1,
                            kRowPanel, operands.input.panel(input(block)), sums + i * kBlock, rows_, !first);
                }
                if (whole_ && last) finishBlock(block);
            }
        });
        if (!whole_ && last) {
            parallelFor(blocks_, 1, [&](int64_t begin, int64_t end) {
                for (int64_t block = begin; block < end; block++) finishBlock(block);
            });
        }
    }

  private:
    // Blocks of the same input channels follow each other, which read the same part of the input.
    int64_t output(int64_t block) const { return block % rowPanels_ * kRowPanel; }
    int64_t input(int64_t block) const { return block / rowPanels_ * kColumns; }
    int64_t rowCount(int64_t block) const { return std::min(kRowPanel, outputs_ - output(block)); }
    float* sumsOf(int64_t block) const {
        return sums_ + (passing_ ? omp_get_thread_num() : block) * taps_ * kBlock;
    }
    void finishBlock(int64_t block) const {
        const float* const sums = sumsOf(block);
        const int64_t columns = std::min(kColumns, inputs_ - input(block));
        for (int64_t row = 0; row < rowCount(block); row++) {
            for (int64_t column = 0; column < columns; column += kWidth) {
                finish(to_ + ((output(block) + row) * inputs_ + input(block) + column) * taps_,
                       sums + row * kColumns + column, taps_, streams_);
            }
        }
        if (streams_) simd::streamed();
    }

    float* to_;
    int64_t outputs_, inputs_, taps_, rowPanels_, blocks_;
    bool whole_, passing_, streams_;
    float* sums_;
    int32_t rows_[kRowPanel];
};

// Where the kernel stands for an output pixel, and what lies below its taps.
struct Place {
    int64_t picture, row, column;  // of the first tap
    Place(int64_t index, const Pictures& out, const ConvGeometry& g)
        : picture(index / (out.width * out.height)),
          row(index / out.width % out.height * g.stride[0] - g.padding[0]),
          column(index % out.width * g.stride[1] - g.padding[1]) {}
    const BFloat16* pixel(const Pictures& in, int64_t down, int64_t right, const BFloat16* outside) const {
        const int64_t i = row + down, j = column + right;
        return i >= 0 && i < in.height && j >= 0 && j < in.width ? in.at(picture, i, j) : outside;
    }
};

uint32_t* packedWords(int64_t words) {
    return static_cast<uint32_t*>(scratch(0, static_cast<size_t>(words) * sizeof(uint32_t)));
}

// Calls body(item, begin, end) for `items` items of all channels. Where the cores share no cache, each thread
// has panels of its own: the sums by blocks are shared out in the same way, and so read what the same core
// has written.
template <typename Body>
void forPanels(int64_t channels, int64_t width, int64_t items, const Body& body) {
    const int64_t panels = (channels + width - 1) / width;
    const int64_t groups = coresShareCache() ? 1 : std::min<int64_t>(panels, omp_get_max_threads());
    parallelFor(groups * items, 1, [&](int64_t first, int64_t last) {
        for (int64_t index = first; index < last; index++) {
            const int64_t group = index / items, end = panels * (group + 1) / groups * width;
            body(index % items, panels * group / groups * width, std::min(end, channels));
        }
    });
}

// Few pixels: each tap's are packed by themselves, without those that fall on the padding.
void accumulateMeetings(const View& gradWeight, const Pictures& gradient, const Pictures& in,
                        const Meetings& meetings) {
    const int64_t taps = gradWeight.sizes[2] * gradWeight.sizes[3];
    const int64_t rowWords = Packed::size(1, gradient.channels, kRowPanel),
                  columnWords = Packed::size(1, in.channels, kColumns);
    std::vector<Operands> operands(taps);
    uint32_t* words = packedWords((meetings.count() + taps) * (rowWords + columnWords));
    for (int64_t tap = 0; tap < taps; tap++) {
        const int64_t pairs = (meetings.count(tap) + 1) / 2;
        operands[tap] = {{words, kRowPanel, pairs}, {words + pairs * rowWords, kColumns, pairs}, pairs};
        words += pairs * (rowWords + columnWords);
    }
    const auto* const none = zeros<BFloat16>(std::max(in.channels, gradient.channels));
    const auto pack = [&](const Pictures& from, Packed Operands::*to, int32_t Meetings::Pixels::*place) {
        const auto put = [&](int64_t tap, int64_t channel, int64_t endChannel) {
            const int64_t begin = meetings.begin(tap), end = begin + meetings.count(tap);
            for (int64_t i = begin; i < end; i += 2) {
                const auto at = [&](int64_t index) {
                    return index < end ? from.data + meetings[index].*place * from.channels : none;
                };
                (operands[tap].*to).put((i - begin) / 2, at(i), at(i + 1), channel, endChannel);
            }
        };
        forPanels(from.channels, (operands[0].*to).width, taps, put);
    };
    pack(gradient, &Operands::gradient, &Meetings::Pixels::out);
    pack(in, &Operands::input, &Meetings::Pixels::in);
    Gradient(gradWeight, 1).add([&](int64_t tap) { return operands[tap]; }, true, true);
}

void accumulatePixels(const View& gradWeight, const Pictures& gradient, const Pictures& in,
                      const ConvGeometry& g) {
    const int64_t kernelWidth = gradWeight.sizes[3], taps = gradWeight.sizes[2] * kernelWidth;
    const int64_t pixels = gradient.count * gradient.height * gradient.width, pairs = (pixels + 1) / 2;
    const int64_t fitting = std::max<int64_t>(kPackedBytes / (4 * taps * in.channels), 64);
    const int64_t rounds = (pairs + fitting - 1) / fitting, together = (pairs + rounds - 1) / rounds;
    const int64_t rowWords = Packed::size(together, gradient.channels, kRowPanel),
                  columnWords = Packed::size(together, in.channels, kColumns);
    uint32_t* const words = packedWords(rowWords + taps * columnWords);
    const Packed rows{words, kRowPanel, together};
    const auto columns = [&](int64_t tap) {
        return Packed{words + rowWords + tap * columnWords, kColumns, together};
    };
    const auto* const none = zeros<BFloat16>(std::max(in.channels, gradient.channels));
    constexpr int64_t kChunk = 16;  // pairs
    Gradient sums(gradWeight, rounds);
    for (int64_t start = 0; start < pairs; start += together) {
        const int64_t count = std::min(together, pairs - start);
        const auto forPairs = [&](int64_t chunk, const auto& body) {
            for (int64_t pair = chunk * kChunk; pair < std::min((chunk + 1) * kChunk, count); pair++) {
                const int64_t first = 2 * (start + pair);
                body(pair, first, first + 1, first + 1 < pixels);
            }
        };
        const int64_t chunks = (count + kChunk - 1) / kChunk;
        forPanels(gradient.channels, kRowPanel, chunks, [&](int64_t chunk, int64_t channel, int64_t end) {
            forPairs(chunk, [&](int64_t pair, int64_t first, int64_t second, bool whole) {
                rows.put(pair, gradient.data + first * gradient.channels,
                         whole ? gradient.data + second * gradient.channels : none, channel, end);
            });
        });
        forPanels(in.channels, kColumns, chunks, [&](int64_t chunk, int64_t channel, int64_t end) {
            forPairs(chunk, [&](int64_t pair, int64_t first, int64_t second, bool whole) {
                const Place left(first, gradient, g), right(second, gradient, g);
                for (int64_t tap = 0; tap < taps; tap++) {
                    const int64_t i = tap / kernelWidth * g.dilation[0],
                                  j = tap % kernelWidth * g.dilation[1];
                    columns(tap).put(pair, left.pixel(in, i, j, none),
                                     whole ? right.pixel(in, i, j, none) : none, channel, end);
                }
            });
        });
        sums.add(
            [&](int64_t tap) {
                return Operands{rows, columns(tap), count};
            },
            start == 0, start + together >= pairs);
    }
}

}  // namespace

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    const Pictures in(input), gradient(gradOutput);
    const int64_t pixels = gradient.count * gradient.height * gradient.width;
    if (pixels <= kFewPixels) {
        const Meetings meetings(gradient, in, gradWeight.sizes, g);
        const int64_t all = pixels * gradWeight.sizes[2] * gradWeight.sizes[3];
        if (meetings.count() < (1 - kWorthLeavingOut) * all) {
            return accumulateMeetings(gradWeight, gradient, in, meetings);
        }
    }
    accumulatePixels(gradWeight, gradient, in, g);
}

#else

void backwardWeight(const View&, const View&, const View&, const ConvGeometry&) {}

#endif

}  // namespace anneal::cpu::pairs
