#pragma once

#include <cstddef>
#include <cstdint>

namespace anneal::picture {

// Numbers that describe how a picture is sampled, as they come in a tensor of float64.
constexpr int kPlacementSlots = 16;

// Where each place of a result comes from, in a picture of which only a region may be at hand.
struct Placement {
    int64_t offset;  // of the region's bytes
    int64_t left, top, width, height;
    int64_t wholeWidth, wholeHeight;
    // A homography, row by row: places of the result (column, row, 1) to those of the whole picture. Both are
    // counted from the centre of the first pixel.
    double matrix[9];

    static Placement read(const double* slots);
    // Whether the region lies inside its picture and inside `bytes` bytes.
    bool fits(int64_t bytes) const;
};

// Samples rows [begin, end) of a result of `columns` columns, bilinearly or at the nearest pixels, mirrored
// at the picture's borders. `table`, if there is one, replaces the 256 values a byte can have. Whatever the
// matrix, nothing outside the region is read: what lies there is taken from its border.
void warpRows(const uint8_t* bytes, const Placement& placement, const uint8_t* table, bool nearest,
              int64_t columns, int64_t begin, int64_t end, uint8_t* out);

}  // namespace anneal::picture
