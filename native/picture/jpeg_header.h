#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace anneal::picture {

// What a JPEG file says of itself before its pixels.
struct JpegHeader {
    int64_t width = 0, height = 0;  // as stored
    int components = 0;
    bool progressive = false;
    // 1 to 8, as EXIF counts: 5 to 8 exchange the sides. 1 if the file does not say.
    int orientation = 1;
};

// Reads the markers up to the frame's. Nothing for what is no JPEG, or ends before.
std::optional<JpegHeader> readJpegHeader(const uint8_t* bytes, size_t count);

}  // namespace anneal::picture
