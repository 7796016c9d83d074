#include "cpu/conv_narrow.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/scratch.h"
#include "cpu/simd.h"

namespace anneal::cpu::narrow {

namespace {

using V = simd::Vector<float>;
constexpr int64_t kWidth = simd::Lanes<float>::kCount;

// Channels times vectors of pixels, and channels times taps, that stay in registers.
#if defined(ANNEAL_AVX512)
constexpr int kChannels = 6, kPixels = 4, kTaps = 4;
#else
constexpr int kChannels = 6, kPixels = 2, kTaps = 2;
#endif

int64_t roundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// A picture as planes, one for each channel, with zeros around it: `above` rows and `left` columns, and a
// width of `width` all told. Planes may be read `slack` floats beyond their last row.
struct Frame {
    int64_t channels, height, width, above, left, plane;
    Frame(int64_t channels, int64_t height, int64_t width, int64_t above, int64_t left, int64_t slack)
        : channels(channels),
          height(height),
          width(width),
          above(above),
          left(left),
          plane(roundUp(height * width + slack, kWidth) + kWidth) {}
    int64_t floats() const { return channels * plane; }
};

// `count` pixels of a row, channels-last, to or from one row of each plane.
void splitRow(float* planes, int64_t plane, const float* row, int64_t count, int64_t channels) {
    int64_t i = 0;
    for (; channels <= kWidth && i + kWidth <= count; i += kWidth) {
        V lines[kWidth];
        for (int64_t k = 0; k < kWidth; k++) {
            lines[k] = simd::load(row + (i + k) * channels, simd::Part{static_cast<int>(channels)});
        }
        simd::transpose(lines);
        for (int64_t c = 0; c < channels; c++) simd::store(planes + c * plane + i, lines[c]);
    }
    for (; i < count; i++) {
        for (int64_t c = 0; c < channels; c++) planes[c * plane + i] = row[i * channels + c];
    }
}

void joinRow(float* row, const float* planes, int64_t plane, int64_t count, int64_t channels,
             const float* bias) {
    int64_t i = 0;
    for (; channels <= kWidth && i + kWidth <= count; i += kWidth) {
        V lines[kWidth];
        for (int64_t c = 0; c < kWidth; c++) {
            lines[c] = c < channels ? simd::load(planes + c * plane + i) + (bias ? bias[c] : 0) : V{};
        }
        simd::transpose(lines);
        for (int64_t k = 0; k < kWidth; k++) {
            simd::store(row + (i + k) * channels, lines[k], simd::Part{static_cast<int>(channels)});
        }
    }
    for (; i < count; i++) {
        for (int64_t c = 0; c < channels; c++)
            row[i * channels + c] = planes[c * plane + i] + (bias ? bias[c] : 0);
    }
}

// Picture `n` of `view` into a frame whose margins are zero already.
void pack(float* planes, const Frame& frame, const View& view, int64_t n) {
    const int64_t channels = view.sizes[1], height = view.sizes[2], width = view.sizes[3];
    const float* const picture = view.as<const float>() + n * view.strides[0];
    float* const start = planes + frame.above * frame.width + frame.left;
    const bool planar = view.strides[3] == 1 && (view.strides[1] != 1 || channels == 1);
    for (int64_t y = 0; y < height; y++) {
        if (planar) {
            for (int64_t c = 0; c < channels; c++) {
                std::copy_n(picture + c * view.strides[1] + y * view.strides[2], width,
                            start + c * frame.plane + y * frame.width);
            }
        } else {
            splitRow(start + y * frame.width, frame.plane, picture + y * view.strides[2], width, channels);
        }
    }
}

// Where each tap's pixel lies in the planes, in the order [source][row][column].
std::vector<int64_t> offsetsOf(const View& weight, const ConvGeometry& g, const Frame& frame,
                               int64_t sources) {
    std::vector<int64_t> offsets;
    for (int64_t s = 0; s < sources; s++) {
        for (int64_t y = 0; y < weight.sizes[2]; y++) {
            for (int64_t x = 0; x < weight.sizes[3]; x++) {
                offsets.push_back(s * frame.plane + y * g.dilation[0] * frame.width + x * g.dilation[1]);
            }
        }
    }
    return offsets;
}

// A kernel as the planes see it: weights [tap][target]. Backward it is turned by half a circle, and its
// channels change sides.
struct Taps {
    std::vector<int64_t> offsets;
    std::vector<float> weights;
    int64_t targets;

    Taps(const View& weight, const ConvGeometry& g, const Frame& source, bool backward)
        : offsets(offsetsOf(weight, g, source, weight.sizes[backward ? 0 : 1])),
          targets(weight.sizes[backward ? 1 : 0]) {
        const int64_t taps = weight.sizes[2] * weight.sizes[3], sources = source.channels;
        const float* const w = weight.as<const float>();
        for (int64_t s = 0; s < sources; s++) {
            for (int64_t k = 0; k < taps; k++) {
                for (int64_t t = 0; t < targets; t++) {
                    weights.push_back(backward ? w[(s * targets + t) * taps + taps - 1 - k]
                                               : w[(t * sources + s) * taps + k]);
                }
            }
        }
    }
};

template <int Channels>
void correlateTile(float* out, int64_t plane, const float* in, const Taps& taps, int64_t channel) {
    V sum[Channels][kPixels] = {};
    const float* w = taps.weights.data() + channel;
    for (const int64_t offset : taps.offsets) {
        V pixels[kPixels];
#pragma GCC unroll 4
        for (int v = 0; v < kPixels; v++) pixels[v] = simd::load(in + offset + v * kWidth);
#pragma GCC unroll 8
        for (int c = 0; c < Channels; c++) {
            const V factor = simd::splat(w[c]);
#pragma GCC unroll 4
            for (int v = 0; v < kPixels; v++) sum[c][v] += factor * pixels[v];
        }
        w += taps.targets;
    }
#pragma GCC unroll 8
    for (int c = 0; c < Channels; c++) {
#pragma GCC unroll 4
        for (int v = 0; v < kPixels; v++) simd::store(out + c * plane + v * kWidth, sum[c][v]);
    }
}

using CorrelateTile = void (*)(float* out, int64_t plane, const float* in, const Taps& taps, int64_t channel);

template <int... Count>
constexpr std::array<CorrelateTile, sizeof...(Count)> tilesOf(std::integer_sequence<int, Count...>) {
    return {correlateTile<Count + 1>...};
}
constexpr auto kCorrelateTiles = tilesOf(std::make_integer_sequence<int, kChannels>{});

// out[t][p] = sum over taps of weight[tap][t] in[p + offset[tap]] for `pixels` pixels of a frame's width;
// what falls on the margins is computed too, and left out afterwards.
void correlate(float* out, int64_t plane, int64_t pixels, const float* in, const Taps& taps) {
    const int64_t blocks = (taps.targets + kChannels - 1) / kChannels;
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t begin = block * taps.targets / blocks, end = (block + 1) * taps.targets / blocks;
        const CorrelateTile run = kCorrelateTiles[end - begin - 1];
        for (int64_t p = 0; p < pixels; p += kPixels * kWidth)
            run(out + begin * plane + p, plane, in + p, taps, begin);
    }
}

// Pictures are worked on one by one, by as many threads as are worth it.
template <typename Body>
void forPictures(int64_t count, int64_t workEach, const Body& body) {
    constexpr int64_t kWorth = 4'000'000;  // products that make up for calling the team
    parallelFor(count, count * workEach < 2 * kWorth ? count : 1, body);
}

void convolve(const View& out, const View& in, const View& weight, const float* bias, const ConvGeometry& g,
              const int64_t (&padding)[2], bool backward) {
    const int64_t height = out.sizes[2], width = out.sizes[3], targets = out.sizes[1];
    const int64_t reachY = (weight.sizes[2] - 1) * g.dilation[0],
                  reachX = (weight.sizes[3] - 1) * g.dilation[1];
    constexpr int64_t kStep = kPixels * kWidth;
    const Frame frame(in.sizes[1], height + reachY, width + reachX, padding[0], padding[1], reachX + kStep);
    const int64_t pixels = height * frame.width, plane = roundUp(pixels, kStep);
    const Taps taps(weight, g, frame, backward);
    const int64_t each = frame.floats() + targets * plane;
    forPictures(out.sizes[0], pixels * targets * static_cast<int64_t>(taps.offsets.size()),
                [&](int64_t begin, int64_t end) {
                    // Of the thread that runs this, which keeps it.
                    auto* const planes =
                        static_cast<float*>(scratch(0, static_cast<size_t>(each) * sizeof(float)));
                    float* const result = planes + frame.floats();
                    std::fill_n(planes, frame.floats(), 0.0f);
                    for (int64_t n = begin; n < end; n++) {
                        pack(planes, frame, in, n);
                        correlate(result, plane, pixels, planes, taps);
                        float* const picture = out.as<float>() + n * height * width * targets;
                        for (int64_t y = 0; y < height; y++) {
                            joinRow(picture + y * width * targets, result + y * frame.width, plane, width,
                                    targets, bias);
                        }
                    }
                });
}

// sums[c][k] += over p of gradient[c][p] * in[p + offsets[k]], vector by vector, for `Channels` and `Count`
// taps.
template <int Channels, int Count>
void gradientTile(V* sums, int64_t channelStep, const float* gradient, int64_t plane, const float* in,
                  const int64_t* offsets, int64_t pixels) {
    V sum[Channels][Count];
    const float* from[Count];
#pragma GCC unroll 8
    for (int k = 0; k < Count; k++) from[k] = in + offsets[k];
#pragma GCC unroll 8
    for (int c = 0; c < Channels; c++) {
#pragma GCC unroll 8
        for (int k = 0; k < Count; k++) sum[c][k] = sums[c * channelStep + k];
    }
    for (int64_t p = 0; p < pixels; p += kWidth) {
        V values[Count];
#pragma GCC unroll 8
        for (int k = 0; k < Count; k++) values[k] = simd::load(from[k] + p);
#pragma GCC unroll 8
        for (int c = 0; c < Channels; c++) {
            const V slope = simd::load(gradient + c * plane + p);
#pragma GCC unroll 8
            for (int k = 0; k < Count; k++) sum[c][k] += slope * values[k];
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < Channels; c++) {
#pragma GCC unroll 8
        for (int k = 0; k < Count; k++) sums[c * channelStep + k] = sum[c][k];
    }
}

using GradientTile = void (*)(V* sums, int64_t channelStep, const float* gradient, int64_t plane,
                              const float* in, const int64_t* offsets, int64_t pixels);

template <int... Index>
constexpr std::array<GradientTile, sizeof...(Index)> gradientTilesOf(std::integer_sequence<int, Index...>) {
    return {gradientTile<Index / kTaps + 1, Index % kTaps + 1>...};
}
constexpr auto kGradientTiles = gradientTilesOf(std::make_integer_sequence<int, kChannels * kTaps>{});

// Vectors of partial sums, [output][tap], to which one picture is added.
void accumulate(V* sums, const float* gradient, const Frame& slopes, const float* in,
                const std::vector<int64_t>& offsets, int64_t pixels) {
    const auto taps = static_cast<int64_t>(offsets.size());
    const int64_t blocks = (slopes.channels + kChannels - 1) / kChannels;
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t begin = block * slopes.channels / blocks, end = (block + 1) * slopes.channels / blocks;
        for (int64_t tap = 0, count; tap < taps; tap += count) {
            count = std::min<int64_t>(kTaps, taps - tap);
            kGradientTiles[(end - begin - 1) * kTaps + count - 1](
                sums + begin * taps + tap, taps, gradient + begin * slopes.plane, slopes.plane, in,
                offsets.data() + tap, pixels);
        }
    }
}

}  // namespace

// The bounds are where oneDNN, measured on AVX-512, becomes as fast.
bool suits(ConvDirection direction, const Dims& input, const Dims& weight, DType dtype,
           const ConvGeometry& g) {
    if (dtype != DType::Float32 || g.groups != 1) return false;
    const int64_t outputs = weight[0], inputs = weight[1];
    switch (direction) {
        case ConvDirection::Forward:
            if (outputs > 8 || inputs > 4) return false;
            break;
        case ConvDirection::BackwardInput:
            if (inputs > 4 || outputs > 64) return false;
            break;
        case ConvDirection::BackwardWeight:
            if (outputs > 8 || inputs > 4) return false;
            break;
    }
    for (int i = 0; i < 2; i++) {
        const int64_t reach = (weight[2 + i] - 1) * g.dilation[i];
        if (g.stride[i] != 1 || g.padding[i] > reach || g.paddingAfter[i] > reach) return false;
        // Pixels of the margins are computed in vain.
        if (2 * reach > input[2 + i] + g.padding[i] + g.paddingAfter[i]) return false;
    }
    return true;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    convolve(out, input, weight, bias ? bias->as<const float>() : nullptr, g, g.padding, false);
}

void backwardInput(const View& gradInput, const View& gradOutput, const View& weight, const ConvGeometry& g) {
    const int64_t padding[2] = {(weight.sizes[2] - 1) * g.dilation[0] - g.padding[0],
                                (weight.sizes[3] - 1) * g.dilation[1] - g.padding[1]};
    convolve(gradInput, gradOutput, weight, nullptr, g, padding, true);
}

void backwardWeight(const View& gradWeight, const View* gradBias, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    const int64_t height = gradOutput.sizes[2], width = gradOutput.sizes[3], pictures = input.sizes[0];
    const int64_t outputs = gradWeight.sizes[0], weights = gradWeight.numel();
    const int64_t reachY = (gradWeight.sizes[2] - 1) * g.dilation[0],
                  reachX = (gradWeight.sizes[3] - 1) * g.dilation[1];
    const Frame frame(input.sizes[1], height + reachY, width + reachX, g.padding[0], g.padding[1],
                      reachX + kWidth);
    // The gradient has the input's width, with zeros where a row of pixels goes over into the next.
    const int64_t pixels = roundUp(height * frame.width, kWidth);
    const Frame slopes(outputs, height, frame.width, 0, 0, 0);
    // Which pictures go into which sum is fixed, so that results do not depend on timing.
    constexpr int64_t kWorth = 8'000'000;
    const int64_t parts = pictures * pixels * weights < kWorth ? 1 : omp_get_max_threads();
    const int64_t each = frame.floats() + slopes.floats();
    const int64_t results = weights + outputs;
    const std::vector<int64_t> offsets = offsetsOf(gradWeight, g, frame, input.sizes[1]);
    auto* const planes = static_cast<float*>(scratch(0, static_cast<size_t>(each * parts) * sizeof(float)));
    auto* const sums = static_cast<V*>(scratch(1, static_cast<size_t>(results * parts) * sizeof(V)));
    parallelFor(parts, 1, [&](int64_t first, int64_t last) {
        for (int64_t part = first; part < last; part++) {
            float* const in = planes + part * each;
            float* const gradient = in + frame.floats();
            V* const own = sums + part * results;
            std::fill_n(in, each, 0.0f);
            std::fill_n(own, results, V{});
            for (int64_t n = part * pictures / parts; n < (part + 1) * pictures / parts; n++) {
                pack(in, frame, input, n);
                pack(gradient, slopes, gradOutput, n);
                accumulate(own, gradient, slopes, in, offsets, pixels);
                if (!gradBias) continue;
                for (int64_t o = 0; o < outputs; o++) {
                    V total = own[weights + o];
                    for (int64_t p = 0; p < pixels; p += kWidth) {
                        total += simd::load(gradient + o * slopes.plane + p);
                    }
                    own[weights + o] = total;
                }
            }
        }
    });
    const auto total = [&](int64_t i) {
        V sum = sums[i];
        for (int64_t part = 1; part < parts; part++) sum += sums[part * results + i];
        return simd::sumLanes<float>(sum);
    };
    for (int64_t i = 0; i < weights; i++) gradWeight.as<float>()[i] = total(i);
    for (int64_t o = 0; gradBias && o < outputs; o++) gradBias->as<float>()[o] = total(weights + o);
}

}  // namespace anneal::cpu::narrow
