#include "cpu/winograd_stem.h"

#include <algorithm>
#include <cstring>

#include "cpu/onednn.h"
#include "cpu/winograd_accumulate.h"
#include "cpu/winograd_convolve.h"

namespace anneal::cpu::stem {

namespace {

using namespace winograd;

constexpr int kOutputs = 7, kTaps = 4;
constexpr int64_t kStride = 2, kMostChannels = 4;
constexpr int64_t kChannels = kMostChannels * kStride * kStride;

// An odd padding shifts the kernel by one pixel, so that it begins at an even one.
int64_t shiftOf(int64_t padding) { return padding % kStride; }
int64_t foldedPadding(int64_t padding) { return (padding + shiftOf(padding)) / kStride; }

// Channel (c * 2 + i) * 2 + j of the folded picture has the pixels of channel c in rows 2 k + i and columns
// 2 l + j.
struct Fold {
    int64_t channel, row, column;
    explicit Fold(int64_t source)
        : channel(source / (kStride * kStride)), row(source / kStride % kStride), column(source % kStride) {}
};

// Which weights [outputs][channels][height][width] the folded kernel's taps are; those before the first and
// behind the last are zero.
struct FoldedTaps {
    const float* data;
    int64_t sources, height, width, down, right;
    const float* scale;  // of each target, or null

    FoldedTaps(const View& weight, const ConvGeometry& g, const float* scale = nullptr)
        : data(weight.as<const float>()),
          sources(weight.sizes[1] * kStride * kStride),
          height(weight.sizes[2]),
          width(weight.sizes[3]),
          down(shiftOf(g.padding[0])),
          right(shiftOf(g.padding[1])),
          scale(scale) {}

    int64_t targetStep() const { return sources / (kStride * kStride) * height * width; }
    // Calls take(i, j, offset) for each tap of the folded kernel that is one of the weights.
    template <typename Take>
    void forEach(int64_t source, int64_t target, const Take& take) const {
        const Fold fold(source);
        for (int i = 0; i < kTaps; i++) {
            const int64_t row = kStride * i + fold.row - down;
            if (row < 0 || row >= height) continue;
            for (int j = 0; j < kTaps; j++) {
                const int64_t column = kStride * j + fold.column - right;
                if (column < 0 || column >= width) continue;
                take(i, j, target * targetStep() + (fold.channel * height + row) * width + column);
            }
        }
    }

    template <int M>
    void transform(int64_t source, int64_t target, float* to, int64_t plane) const {
        V taps[kTaps][kTaps] = {};
        forEach(source, target, [&](int i, int j, int64_t offset) {
            for (int lane = 0; lane < kWidth; lane++) taps[i][j][lane] = data[offset + lane * targetStep()];
            if (scale) taps[i][j] *= simd::load(scale + target);
        });
        transformFilter<M>(taps, [&](V value) { simd::store(to, value), to += plane; });
    }
};

// One row of a folded picture, kChannels to a pixel; what is missing is zero.
void foldRow(BFloat16* to, const View& input, int64_t n, int64_t row, int64_t width) {
    const int64_t height = input.sizes[2], columns = input.sizes[3], step = input.strides[3];
    // Two neighbours of a row make a word, eight words a folded pixel: their vectors are transposed.
    constexpr int64_t kWords = kChannels / kStride;
    const BFloat16* lines[kWords] = {};
    for (int64_t word = 0; word < input.sizes[1] * kStride; word++) {
        const Fold fold(word * kStride);
        const int64_t from = kStride * row + fold.row;
        if (from >= height) continue;
        lines[word] = input.as<const BFloat16>() + n * input.strides[0] + fold.channel * input.strides[1] +
                      from * input.strides[2];
    }
    const int64_t whole = step == 1 ? columns / kStride / kWidth * kWidth : 0;
    constexpr int64_t kGroup = std::min<int64_t>(kWidth, kWords);
    for (int64_t l = 0; l < whole; l += kWidth) {
        for (int64_t group = 0; group < kWords; group += kGroup) {
            V words[kWidth] = {};
            for (int64_t i = 0; i < kGroup; i++) {
                if (lines[group + i]) std::memcpy(&words[i], lines[group + i] + kStride * l, sizeof(V));
            }
            simd::transpose(words);
            for (int64_t i = 0; i < kWidth; i++) {
                std::memcpy(&to[(l + i) * kChannels + kStride * group].bits, &words[i],
                            kGroup * sizeof(float));
            }
        }
    }
    for (int64_t l = whole; l < width; l++) {
        for (int64_t word = 0; word < kWords; word++) {
            for (int64_t j = 0; j < kStride; j++) {
                const int64_t column = kStride * l + j;
                to[l * kChannels + kStride * word + j] =
                    lines[word] && column < columns ? lines[word][column * step] : BFloat16{};
            }
        }
    }
}

// The folded input, until the next kernel runs; brought into order by one thread if `alone`, unless it is
// large.
Pictures<BFloat16> fold(const View& input, bool alone) {
    constexpr int64_t kLarge = 2'000'000;  // elements
    View folded;
    folded.sizes = {input.sizes[0], kChannels, (input.sizes[2] + 1) / kStride,
                    (input.sizes[3] + 1) / kStride};
    folded.data = scratch(2, static_cast<size_t>(folded.numel()) * sizeof(BFloat16));
    const Pictures<BFloat16> pictures(folded);
    const int64_t lines = pictures.count * pictures.height;
    parallelFor(lines, alone && folded.numel() <= kLarge ? lines : 8, [&](int64_t begin, int64_t end) {
        for (int64_t line = begin; line < end; line++) {
            const int64_t n = line / pictures.height, row = line % pictures.height;
            foldRow(pictures.at(n, row, 0), input, n, row, pictures.width);
        }
    });
    return pictures;
}

void convolve(const View& out, const View& input, const FoldedTaps& taps, const Finish<BFloat16>& finish,
              const ConvGeometry& g) {
    const int64_t padding[2] = {foldedPadding(g.padding[0]), foldedPadding(g.padding[1])};
    // A training step begins with this, while JavaScript holds a core, and the team would be waited for.
    constexpr bool kAlone = true;
    convolveByTiles<kOutputs, kTaps>(Pictures<BFloat16>(out), fold(input, kAlone), taps, finish, padding);
}

}  // namespace

bool suits(ConvDirection direction, const Dims& input, const Dims& weight, DType dtype,
           const ConvGeometry& g) {
#if !defined(ANNEAL_AVX512)  // oneDNN's direct kernel has vectors of twice the size
    return false;
#endif
    if (dtype != DType::BFloat16 || g.groups != 1 || direction == ConvDirection::BackwardInput) return false;
    if (onednn::hasMatrixUnits() || weight[1] > kMostChannels || weight[0] % kWidth != 0) return false;
    int64_t pixels = 1, covered = 1;
    for (int i = 0; i < 2; i++) {
        const int64_t taps = weight[2 + i] + shiftOf(g.padding[i]);
        if (taps <= kStride * (kTaps - 1) || taps > kStride * kTaps) return false;
        if (g.stride[i] != kStride || g.dilation[i] != 1) return false;
        const int64_t size = (input[2 + i] + g.padding[i] + g.paddingAfter[i] - weight[2 + i]) / kStride + 1;
        pixels *= size, covered *= (size + kOutputs - 1) / kOutputs * kOutputs;
    }
    // Tiles that hang over the edges of small pictures multiply in vain.
    return 2 * covered <= 3 * pixels;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    convolve(out, input, FoldedTaps(weight, g), {bias ? bias->as<const float>() : nullptr, nullptr, false},
             g);
}

void forward(const View& out, const View& input, const View& weight, const ConvEpilogue& epilogue,
             const ConvGeometry& g) {
    convolve(out, input, FoldedTaps(weight, g, epilogue.scale),
             {epilogue.shift, static_cast<const BFloat16*>(epilogue.residual), epilogue.relu}, g);
}

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    const int64_t padding[2] = {foldedPadding(g.padding[0]), foldedPadding(g.padding[1])};
    const FoldedTaps taps(gradWeight, g);
    float* const weight = gradWeight.as<float>();
    sumByTiles<kOutputs, kTaps>(Pictures<BFloat16>(gradOutput), fold(input, false), taps.sources, padding,
                                [&](int64_t output, int64_t source, const auto& at) {
                                    V values[kTaps][kTaps];
                                    gatherFilter<kOutputs>(at, values);
                                    taps.forEach(source, output, [&](int i, int j, int64_t offset) {
                                        for (int lane = 0; lane < kWidth; lane++)
                                            weight[offset + lane * taps.targetStep()] = values[i][j][lane];
                                    });
                                });
}

}  // namespace anneal::cpu::stem
