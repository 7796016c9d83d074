#include "picture/warp.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "picture/plan.h"

namespace anneal::picture {

namespace {

// Places between pixels are known to 1/2048 of a pixel; sums of four bytes so weighted fit into 30 bits.
constexpr int kFractionBits = 11;
constexpr int32_t kOne = 1 << kFractionBits;
constexpr int32_t kHalf = 1 << (2 * kFractionBits - 1);

// Places that are worked out together.
constexpr int kBlock = 64;

// One side of the picture: reflects a place at the centres of the first and the last pixel, as often as need
// be.
struct Mirror {
    double last, period, inverse;

    explicit Mirror(int64_t size)
        : last(static_cast<double>(size - 1)), period(2 * last), inverse(size > 1 ? 1 / period : 0) {}

    double operator()(double place) const {
        double rest = std::fabs(place);
        rest -= std::floor(rest * inverse) * period;
        rest = std::min(rest, period - rest);
        // A place that is no number goes to the first pixel.
        rest = rest > 0 ? rest : 0;
        return rest < last ? rest : last;
    }
};

struct Block {
    int32_t left[kBlock], top[kBlock], right[kBlock], below[kBlock];
    int32_t across[kBlock], down[kBlock];  // fractions
};

// The pixels around each place of a stretch of one row, counted from the region's corner.
void locate(const Placement& p, const Mirror& mirrorX, const Mirror& mirrorY, int64_t column, double row,
            bool nearest, int count, Block& block) {
    const double* m = p.matrix;
    const double bx = m[1] * row + m[2], by = m[4] * row + m[5], bw = m[7] * row + m[8];
    const auto originX = static_cast<int32_t>(p.left), originY = static_cast<int32_t>(p.top);
    const auto mostX = static_cast<int32_t>(p.width - 1), mostY = static_cast<int32_t>(p.height - 1);
    const double lift = nearest ? 0.5 : 0;
    for (int i = 0; i < count; i++) {
        const auto u = static_cast<double>(column + i);
        const double w = m[6] * u + bw;
        const double x = mirrorX((m[0] * u + bx) / w), y = mirrorY((m[3] * u + by) / w);
        const auto x0 = static_cast<int32_t>(x + lift), y0 = static_cast<int32_t>(y + lift);
        block.across[i] = nearest ? 0 : static_cast<int32_t>((x - x0) * kOne + 0.5);
        block.down[i] = nearest ? 0 : static_cast<int32_t>((y - y0) * kOne + 0.5);
        const int32_t left = x0 - originX, top = y0 - originY;
        block.left[i] = std::clamp(left, 0, mostX);
        block.top[i] = std::clamp(top, 0, mostY);
        block.right[i] = std::clamp(left + 1, 0, mostX);
        block.below[i] = std::clamp(top + 1, 0, mostY);
    }
}

}  // namespace

Placement Placement::read(const double* slots) {
    const auto whole = [](double value) {
        return value >= 0 && value < 1e15 ? static_cast<int64_t>(value) : -1;
    };
    Placement p;
    p.offset = whole(slots[0]);
    p.left = whole(slots[1]);
    p.top = whole(slots[2]);
    p.width = whole(slots[3]);
    p.height = whole(slots[4]);
    p.wholeWidth = whole(slots[5]);
    p.wholeHeight = whole(slots[6]);
    std::copy_n(slots + 7, 9, p.matrix);
    return p;
}

bool Placement::fits(int64_t bytes) const {
    return offset >= 0 && left >= 0 && top >= 0 && width > 0 && height > 0 && wholeWidth <= kMaxSide &&
           wholeHeight <= kMaxSide && left + width <= wholeWidth && top + height <= wholeHeight &&
           offset <= bytes && width * height * kChannels <= bytes - offset;
}

void warpRows(const uint8_t* bytes, const Placement& placement, const uint8_t* table, bool nearest,
              int64_t columns, int64_t begin, int64_t end, uint8_t* out) {
    const Mirror mirrorX(placement.wholeWidth), mirrorY(placement.wholeHeight);
    const uint8_t* source = bytes + placement.offset;
    const int64_t rowBytes = placement.width * kChannels;
    Block block;
    for (int64_t row = begin; row < end; row++) {
        for (int64_t column = 0; column < columns; column += kBlock) {
            const int count = static_cast<int>(std::min<int64_t>(kBlock, columns - column));
            locate(placement, mirrorX, mirrorY, column, static_cast<double>(row), nearest, count, block);
            for (int i = 0; i < count; i++, out += kChannels) {
                const uint8_t* upper = source + block.top[i] * rowBytes;
                const uint8_t* lower = source + block.below[i] * rowBytes;
                const int32_t left = block.left[i] * kChannels, right = block.right[i] * kChannels;
                const int32_t across = block.across[i], down = block.down[i];
                const int32_t w11 = across * down, w10 = (down << kFractionBits) - w11;
                const int32_t w01 = (across << kFractionBits) - w11, w00 = kOne * kOne - w01 - w10 - w11;
                for (int c = 0; c < kChannels; c++) {
                    const int32_t sum = upper[left + c] * w00 + upper[right + c] * w01 +
                                        lower[left + c] * w10 + lower[right + c] * w11;
                    out[c] = static_cast<uint8_t>((sum + kHalf) >> (2 * kFractionBits));
                }
            }
        }
        if (!table) continue;
        for (uint8_t* byte = out - columns * kChannels; byte < out; byte++) *byte = table[*byte];
    }
}

}  // namespace anneal::picture
