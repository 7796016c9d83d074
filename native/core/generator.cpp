#include "core/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>

namespace anneal {
namespace {

// Where each field lies in the bytes of torch.get_rng_state(). Every word takes eight bytes, of which four
// are used.
namespace layout {
constexpr size_t kSeed = 0;
constexpr size_t kLeft = 8;
constexpr size_t kSeeded = 12;
constexpr size_t kNext = 16;
constexpr size_t kWords = 24;
constexpr size_t kSpare = kWords + 624 * 8 + 8;
constexpr size_t kHasSpare = kSpare + 16;
constexpr size_t kSpareFloat = kHasSpare + 8;
constexpr size_t kHasSpareFloat = kSpareFloat + 4;
static_assert(kHasSpareFloat + 4 == Generator::kStateBytes, "the layout must end where the state does");
}  // namespace layout

template <typename T>
T readAt(const uint8_t* bytes, size_t offset) {
    T value;
    std::memcpy(&value, bytes + offset, sizeof value);
    return value;
}

template <typename T>
void writeAt(std::vector<uint8_t>& bytes, size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
}

}  // namespace

void Generator::manualSeed(uint64_t seed) {
    seed_ = seed;
    words_[0] = static_cast<uint32_t>(seed);
    for (uint32_t i = 1; i < kWords; ++i) {
        words_[i] = 1812433253U * (words_[i - 1] ^ (words_[i - 1] >> 30)) + i;
    }
    remaining_ = 0;
    next_ = 0;
    spareNormal_ = 0;
    hasSpareNormal_ = false;
    spareFloatNormal_ = 0;
    hasSpareFloatNormal_ = false;
}

void Generator::twist() {
    constexpr uint32_t kShift = 397;
    const auto mix = [](uint32_t high, uint32_t low, uint32_t shifted) {
        const uint32_t joined = (high & 0x80000000U) | (low & 0x7fffffffU);
        return shifted ^ (joined >> 1) ^ ((0U - (low & 1U)) & 0x9908b0dfU);
    };
    uint32_t* const words = words_;
    uint32_t i = 0;
    for (; i < kWords - kShift; ++i) words[i] = mix(words[i], words[i + 1], words[i + kShift]);
    for (; i < kWords - 1; ++i) words[i] = mix(words[i], words[i + 1], words[i + kShift - kWords]);
    words[i] = mix(words[i], words[0], words[kShift - 1]);
    remaining_ = kWords;
    next_ = 0;
}

void Generator::random(uint32_t* out, size_t count) {
    while (count > 0) {
        if (remaining_ == 0) twist();
        const uint32_t take = static_cast<uint32_t>(std::min<size_t>(remaining_, count));
        const uint32_t* const words = words_ + next_;
        for (uint32_t i = 0; i < take; ++i) out[i] = temper(words[i]);
        remaining_ -= take;
        next_ += take;
        out += take;
        count -= take;
    }
}

double Generator::normal() {
    if (hasSpareNormal_) {
        hasSpareNormal_ = false;
        const double sample = spareNormal_;
        spareNormal_ = 0;
        return sample;
    }
    const double first = unitDouble(random64());
    const double second = unitDouble(random64());
    const double radius = std::sqrt(-2.0 * std::log(1.0 - second));
    const double angle = 2.0 * kPi * first;
    spareNormal_ = radius * std::sin(angle);
    hasSpareNormal_ = true;
    return radius * std::cos(angle);
}

std::vector<uint8_t> Generator::state() const {
    std::vector<uint8_t> bytes(kStateBytes, 0);
    writeAt<uint64_t>(bytes, layout::kSeed, seed_);
    writeAt<int32_t>(bytes, layout::kLeft, static_cast<int32_t>(remaining_ + 1));
    writeAt<int32_t>(bytes, layout::kSeeded, 1);
    writeAt<uint64_t>(bytes, layout::kNext, next_);
    for (uint32_t i = 0; i < kWords; ++i) writeAt<uint64_t>(bytes, layout::kWords + 8 * i, words_[i]);
    writeAt<double>(bytes, layout::kSpare, spareNormal_);
    writeAt<int32_t>(bytes, layout::kHasSpare, hasSpareNormal_ ? 1 : 0);
    writeAt<float>(bytes, layout::kSpareFloat, spareFloatNormal_);
    writeAt<uint8_t>(bytes, layout::kHasSpareFloat, hasSpareFloatNormal_ ? 1 : 0);
    return bytes;
}

void Generator::setState(const uint8_t* bytes, size_t size) {
    if (size != kStateBytes) {
        throw std::invalid_argument("a generator's state has " + std::to_string(kStateBytes) +
                                    " bytes, not " + std::to_string(size));
    }
    const int32_t left = readAt<int32_t>(bytes, layout::kLeft);
    const uint64_t next = readAt<uint64_t>(bytes, layout::kNext);
    // Either untouched since seeding (one left, none handed out) or within a block, where both add up.
    const bool fresh = left == 1 && next == 0;
    const bool within = left >= 1 && next <= kWords && static_cast<uint64_t>(left) + next == kWords + 1;
    if (readAt<int32_t>(bytes, layout::kSeeded) != 1 || !(fresh || within)) {
        throw std::invalid_argument("these bytes are not the state of an mt19937 generator (left " +
                                    std::to_string(left) + ", next " + std::to_string(next) + ")");
    }
    seed_ = readAt<uint64_t>(bytes, layout::kSeed);
    remaining_ = static_cast<uint32_t>(left) - 1;
    next_ = static_cast<uint32_t>(next);
    for (uint32_t i = 0; i < kWords; ++i) {
        words_[i] = static_cast<uint32_t>(readAt<uint64_t>(bytes, layout::kWords + 8 * i));
    }
    spareNormal_ = readAt<double>(bytes, layout::kSpare);
    hasSpareNormal_ = readAt<int32_t>(bytes, layout::kHasSpare) != 0;
    spareFloatNormal_ = readAt<float>(bytes, layout::kSpareFloat);
    hasSpareFloatNormal_ = readAt<uint8_t>(bytes, layout::kHasSpareFloat) != 0;
}

}  // namespace anneal
