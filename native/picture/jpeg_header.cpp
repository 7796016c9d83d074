#include "picture/jpeg_header.h"

#include <cstring>

namespace anneal::picture {

namespace {

// Numbers of a TIFF structure, in either byte order. Reading beyond its end gives zero.
class TiffReader {
  public:
    TiffReader(const uint8_t* bytes, size_t count) : bytes_(bytes), count_(count) {
        little_ = count >= 2 && bytes[0] == 'I';
    }
    uint32_t read(size_t at, int size) const {
        if (at > count_ || count_ - at < static_cast<size_t>(size)) return 0;
        uint32_t value = 0;
        for (int i = 0; i < size; i++) value = value << 8 | bytes_[at + (little_ ? size - 1 - i : i)];
        return value;
    }

  private:
    const uint8_t* bytes_;
    size_t count_;
    bool little_;
};

// EXIF 2.3, tag 0x0112 of the first directory.
int exifOrientation(const uint8_t* bytes, size_t count) {
    constexpr uint16_t kOrientationTag = 0x0112, kShort = 3;
    if (count < 6 + 8 || std::memcmp(bytes, "Exif\0\0", 6) != 0) return 1;
    const TiffReader tiff(bytes + 6, count - 6);
    if (tiff.read(2, 2) != 42) return 1;
    const size_t directory = tiff.read(4, 4);
    const uint32_t entries = tiff.read(directory, 2);
    for (uint32_t entry = 0; entry < entries; entry++) {
        const size_t at = directory + 2 + size_t{12} * entry;
        if (at >= count) break;
        if (tiff.read(at, 2) != kOrientationTag) continue;
        if (tiff.read(at + 2, 2) != kShort) return 1;
        const uint32_t value = tiff.read(at + 8, 2);
        return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
    }
    return 1;
}

}  // namespace

std::optional<JpegHeader> readJpegHeader(const uint8_t* bytes, size_t count) {
    if (count < 4 || bytes[0] != 0xff || bytes[1] != 0xd8) return std::nullopt;
    JpegHeader header;
    bool sawExif = false;
    for (size_t at = 2; at + 4 <= count;) {
        if (bytes[at] != 0xff) return std::nullopt;
        const uint8_t marker = bytes[at + 1];
        if (marker == 0xff) {  // padding
            at++;
            continue;
        }
        const bool standsAlone = marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8);
        if (standsAlone) {
            at += 2;
            continue;
        }
        const size_t length = static_cast<size_t>(bytes[at + 2]) << 8 | bytes[at + 3];
        if (length < 2 || marker == 0xda || marker == 0xd9) return std::nullopt;
        const uint8_t* body = bytes + at + 4;
        const size_t size = length - 2;
        if (at + 2 + length > count) return std::nullopt;
        // Frame headers are 0xc0 to 0xcf, but for tables (4), extensions (8) and arithmetic conditioning
        // (12).
        if (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc) {
            // Baseline, extended and progressive Huffman with 8 bits; the rest is rare.
            if (marker > 0xc2 || size < 6 || body[0] != 8) return std::nullopt;
            header.height = static_cast<int64_t>(body[1]) << 8 | body[2];
            header.width = static_cast<int64_t>(body[3]) << 8 | body[4];
            header.components = body[5];
            header.progressive = marker == 0xc2;
            if (header.width == 0 || header.height == 0) return std::nullopt;
            return header;
        }
        if (marker == 0xe1 && !sawExif && size >= 6 && std::memcmp(body, "Exif\0\0", 6) == 0) {
            header.orientation = exifOrientation(body, size);
            sawExif = true;
        }
        at += 2 + length;
    }
    return std::nullopt;
}

}  // namespace anneal::picture
