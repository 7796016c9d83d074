#include "picture/resample.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace anneal::picture {

namespace {

// As in Pillow, so that results equal its to the bit.
constexpr int kWeightBits = 22;
constexpr int32_t kHalf = 1 << (kWeightBits - 1);
constexpr int32_t kOne = 1 << kWeightBits;

// Up to so many bytes behind a row's last pixel are read, and written.
constexpr size_t kBeyond = 16;

using Four = int32_t __attribute__((vector_size(16)));
using Bytes = uint8_t __attribute__((vector_size(16)));

// GCC 11 does not know clang's name for it.
#ifdef __clang__
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, Bytes{__VA_ARGS__})
#endif

// Rounded weights may add up to a little more than one.
constexpr Four kMost = {255, 255, 255, 255};

// Five pixels and a byte.
inline Bytes loadPixels(const uint8_t* from) {
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

// One of the pixels as numbers; the fourth is of no use.
template <int kAt>
inline Four pixelOf(Bytes bytes) {
    constexpr int a = kAt * kChannels, o = 16;
    constexpr Bytes zero = {};
    return reinterpret_cast<Four>(
        SHUFFLE(bytes, zero, a, o, o, o, a + 1, o, o, o, a + 2, o, o, o, o, o, o, o));
}

// Writes a pixel and a byte that the next one overwrites.
inline void storePixel(Four sum, uint8_t* to) {
    Four value = sum >> kWeightBits;
    value = value > kMost ? kMost : value;
    const Bytes all = reinterpret_cast<Bytes>(value);
    const Bytes bytes = SHUFFLE(all, all, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
    std::memcpy(to, &bytes, kChannels + 1);
}

template <int kTap, int kTaps>
inline void addTaps(Bytes bytes, const int32_t* weights, Four& sum) {
    if constexpr (kTap < kTaps) {
        sum += pixelOf<kTap>(bytes) * weights[kTap];
        addTaps<kTap + 1, kTaps>(bytes, weights, sum);
    }
}

// One row of the result's width. With kTaps every place has so many taps, some of which may weigh nothing.
template <int kTaps>
void resizeRow(const uint8_t* source, const Axis& columns, uint8_t* out) {
    const int64_t size = columns.size(), low = columns.low, stride = columns.stride;
    const int32_t* weights = columns.weights.data();
    const int32_t* first = columns.first.data();
    const int32_t* count = columns.count.data();
    for (int64_t x = 0; x < size; x++, weights += stride, out += kChannels) {
        const uint8_t* from = source + (first[x] - low) * kChannels;
        Four sum = {kHalf, kHalf, kHalf, kHalf};
        if constexpr (kTaps > 0) {
            addTaps<0, kTaps>(loadPixels(from), weights, sum);
        } else {
            int tap = 0;
            for (; tap + 5 <= count[x]; tap += 5, from += 5 * kChannels)
                addTaps<0, 5>(loadPixels(from), weights + tap, sum);
            for (; tap < count[x]; tap++, from += kChannels)
                addTaps<0, 1>(loadPixels(from), weights + tap, sum);
        }
        storePixel(sum, out);
    }
}

void resizeColumns(const uint8_t* source, size_t rowBytes, int64_t height, const Axis& columns,
                   uint8_t* out) {
    const int64_t outBytes = columns.size() * kChannels;
    const auto run = columns.stride == 2   ? resizeRow<2>
                     : columns.stride == 3 ? resizeRow<3>
                     : columns.stride == 4 ? resizeRow<4>
                     : columns.stride == 5 ? resizeRow<5>
                                           : resizeRow<0>;
    // Behind the last rows (the last one, unless they are very short) there may be nothing.
    const int64_t safe =
        height - (static_cast<int64_t>(kBeyond + rowBytes - 1) / static_cast<int64_t>(rowBytes));
    for (int64_t y = 0; y < safe; y++) run(source + y * rowBytes, columns, out + y * outBytes);
    thread_local std::vector<uint8_t> copy;
    const size_t used = (columns.high - columns.low) * kChannels;
    copy.resize(used + kBeyond);
    for (int64_t y = std::max<int64_t>(0, safe); y < height; y++) {
        std::memcpy(copy.data(), source + y * rowBytes, used);
        run(copy.data(), columns, out + y * outBytes);
    }
}

void copyColumns(const uint8_t* source, size_t rowBytes, int64_t height, const Axis& columns, uint8_t* out) {
    const int64_t size = columns.size();
    for (int64_t y = 0; y < height; y++) {
        const uint8_t* row = source + y * rowBytes;
        for (int64_t x = 0; x < size; x++, out += kChannels)
            std::memcpy(out, row + (columns.first[x] - columns.low) * kChannels, kChannels);
    }
}

void weighRows(const uint8_t* source, size_t rowBytes, const int32_t* weights, int taps, int64_t bytes,
               uint8_t* out) {
    constexpr int64_t kBlock = 64;
    int64_t at = 0;
    for (; at + kBlock <= bytes; at += kBlock) {
        int32_t sums[kBlock];
        for (int i = 0; i < kBlock; i++) sums[i] = kHalf;
        for (int tap = 0; tap < taps; tap++) {
            const uint8_t* from = source + tap * rowBytes + at;
            const int32_t weight = weights[tap];
            for (int i = 0; i < kBlock; i++) sums[i] += from[i] * weight;
        }
        for (int i = 0; i < kBlock; i++)
            out[at + i] = static_cast<uint8_t>(std::min(sums[i] >> kWeightBits, 255));
    }
    for (; at < bytes; at++) {
        int32_t sum = kHalf;
        for (int tap = 0; tap < taps; tap++) sum += source[tap * rowBytes + at] * weights[tap];
        out[at] = static_cast<uint8_t>(std::min(sum >> kWeightBits, 255));
    }
}

}  // namespace

Axis bilinearAxis(double start, double length, int64_t size, int64_t target, int64_t window,
                  int64_t windowSize, bool flip) {
    // What lies outside the box does not count, as if the picture had been cut there before.
    const auto least = std::max<int64_t>(0, static_cast<int64_t>(std::floor(start + 1e-6)));
    const auto most = std::min<int64_t>(size, static_cast<int64_t>(std::ceil(start + length - 1e-6)));
    Axis axis;
    axis.first.resize(windowSize);
    axis.count.resize(windowSize);
    axis.low = most;
    axis.high = least;
    axis.copies = length == static_cast<double>(target) && start == std::floor(start);
    const double scale = length / static_cast<double>(target);
    const double support = std::max(scale, 1.0);
    std::vector<double> raw;
    // The taps of each place, before it is known how many the largest number of them is.
    std::vector<int32_t> all;
    std::vector<size_t> begins(windowSize);
    for (int64_t at = 0; at < windowSize; at++) {
        const int64_t place = window + (flip ? windowSize - 1 - at : at);
        int64_t low, high;
        begins[at] = all.size();
        if (axis.copies) {
            low = static_cast<int64_t>(start) + place;
            high = low + 1;
            all.push_back(kOne);
        } else {
            const double centre =
                (start - static_cast<double>(least)) + (static_cast<double>(place) + 0.5) * scale;
            const double span = static_cast<double>(most - least);
            const auto from = static_cast<int64_t>(std::max(centre - support + 0.5, 0.0));
            const auto to = static_cast<int64_t>(std::min(std::max(centre + support + 0.5, 1.0), span));
            low = std::min(from, most - least - 1);
            high = std::max(to, low + 1);
            raw.clear();
            double sum = 0;
            for (int64_t tap = low; tap < high; tap++) {
                const double distance = (static_cast<double>(tap) - centre + 0.5) / support;
                raw.push_back(std::max(0.0, 1 - std::fabs(distance)));
                sum += raw.back();
            }
            for (const double weight : raw)
                all.push_back(static_cast<int32_t>(0.5 + weight / sum * static_cast<double>(kOne)));
            low += least;
            high += least;
        }
        axis.first[at] = static_cast<int32_t>(low);
        axis.count[at] = static_cast<int32_t>(high - low);
        axis.stride = std::max(axis.stride, axis.count[at]);
        axis.low = std::min(axis.low, low);
        axis.high = std::max(axis.high, high);
    }
    axis.weights.assign(static_cast<size_t>(windowSize) * axis.stride, 0);
    for (int64_t at = 0; at < windowSize; at++)
        std::copy_n(all.begin() + begins[at], axis.count[at], axis.weights.begin() + at * axis.stride);
    return axis;
}

void resample(const uint8_t* source, size_t rowBytes, const Axis& columns, const Axis& rows, uint8_t* out) {
    const int64_t height = rows.high - rows.low;
    const size_t outBytes = columns.size() * kChannels;
    thread_local std::vector<uint8_t> between;
    const bool inOrder = columns.copies && (columns.size() == 1 || columns.first[1] > columns.first[0]);
    if (!inOrder) {
        between.resize(height * outBytes + kBeyond);
        (columns.copies ? copyColumns : resizeColumns)(source, rowBytes, height, columns, between.data());
        source = between.data();
        rowBytes = outBytes;
    }
    for (int64_t y = 0; y < rows.size(); y++, out += outBytes) {
        const uint8_t* from = source + (rows.first[y] - rows.low) * rowBytes;
        if (rows.copies) {
            std::memcpy(out, from, outBytes);
        } else {
            weighRows(from, rowBytes, rows.weights.data() + y * rows.stride, rows.count[y],
                      static_cast<int64_t>(outBytes), out);
        }
    }
    // One enormous picture does not hold its memory for good.
    if (between.capacity() > (size_t{16} << 20)) between = {};
}

void transpose(const uint8_t* source, int64_t width, int64_t height, uint8_t* out) {
    for (int64_t x = 0; x < width; x++) {
        const uint8_t* from = source + x * kChannels;
        for (int64_t y = 0; y < height; y++, out += kChannels, from += width * kChannels)
            std::memcpy(out, from, kChannels);
    }
}

void resamplePicture(const uint8_t* source, const Plan& plan, uint8_t* out) {
    const Axis columns = bilinearAxis(plan.left, plan.boxWidth, plan.width, plan.targetWidth, plan.windowLeft,
                                      plan.windowWidth, plan.flipX);
    const Axis rows = bilinearAxis(plan.top, plan.boxHeight, plan.height, plan.targetHeight, plan.windowTop,
                                   plan.windowHeight, plan.flipY);
    const size_t rowBytes = plan.width * kChannels;
    resample(source + rows.low * rowBytes + columns.low * kChannels, rowBytes, columns, rows, out);
}

}  // namespace anneal::picture
