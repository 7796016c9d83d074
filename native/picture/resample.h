#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "picture/plan.h"

namespace anneal::picture {

// How the places of one side of the result come from one side of the source: each is a weighted sum of
// neighbours.
struct Axis {
    std::vector<int32_t> first;    // the first place of the source that counts
    std::vector<int32_t> count;    // how many count
    std::vector<int32_t> weights;  // `stride` for each place, with kWeightBits fractional bits
    int stride = 1;
    bool copies = false;  // every place is one place of the source, unchanged
    // The places of the source that any of them needs.
    int64_t low = 0, high = 0;

    int64_t size() const { return static_cast<int64_t>(first.size()); }
};

// The triangle filter, whose support grows with the reduction: Pillow's BILINEAR to the bit. [start, start +
// length) of a source of `size` places becomes `target` places, of which those from `window` on are made,
// mirrored if `flip`.
Axis bilinearAxis(double start, double length, int64_t size, int64_t target, int64_t window,
                  int64_t windowSize, bool flip);

// Columns first, then rows, rounded to bytes between. `source` is the pixel at (columns.low, rows.low), and
// its rows lie `rowBytes` apart. `out` takes rows.size() * columns.size() pixels.
void resample(const uint8_t* source, size_t rowBytes, const Axis& columns, const Axis& rows, uint8_t* out);

// Exchanges the sides of a picture of `width` by `height`.
void transpose(const uint8_t* source, int64_t width, int64_t height, uint8_t* out);

// Carries out a plan on a decoded picture of plan.width by plan.height pixels without anything between its
// rows.
void resamplePicture(const uint8_t* source, const Plan& plan, uint8_t* out);

}  // namespace anneal::picture
