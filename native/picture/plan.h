#pragma once

#include <cstdint>

namespace anneal::picture {

// A decoded picture: red, green and blue bytes, interleaved.
constexpr int kChannels = 3;
// Sums over more places than this could leave 32 bits.
constexpr int64_t kMaxSide = int64_t{1} << 22;

// What becomes of a picture, in the order of the fields: cut, resized, cut again, mirrored. All of it speaks
// of the upright picture. Without resizing the target is as large as the box, without a second cut the window
// is the target.
struct Plan {
    int64_t width = 0, height = 0;  // of the whole picture
    // Whole pixels for a picture that is not decoded; a picture that was shrunk has fractions of them.
    double left = 0, top = 0, boxWidth = 0, boxHeight = 0;
    int64_t targetWidth = 0, targetHeight = 0;
    int64_t windowLeft = 0, windowTop = 0, windowWidth = 0, windowHeight = 0;
    bool flipX = false, flipY = false;

    bool valid() const {
        constexpr int64_t kMost = kMaxSide;
        const auto inside = [](double start, double length, int64_t size) {
            return start >= 0 && length > 0 && start + length <= static_cast<double>(size) + 1e-6;
        };
        const auto within = [](int64_t start, int64_t length, int64_t size) {
            return start >= 0 && length > 0 && start <= size && length <= size - start;
        };
        return width > 0 && height > 0 && width <= kMost && height <= kMost && targetWidth > 0 &&
               targetHeight > 0 && targetWidth <= kMost && targetHeight <= kMost &&
               inside(left, boxWidth, width) && inside(top, boxHeight, height) &&
               within(windowLeft, windowWidth, targetWidth) && within(windowTop, windowHeight, targetHeight);
    }
    int64_t bytes() const { return windowWidth * windowHeight * kChannels; }
};

}  // namespace anneal::picture
