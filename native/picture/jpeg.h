#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "picture/plan.h"

namespace anneal::picture {

// JPEG files by libjpeg-turbo, which is opened at run time. It decodes only the rows and columns that are
// asked for, and shrinks while it decodes where that leaves the picture at least twice as large as its
// result. Whatever this does not do exactly (CMYK, files that are damaged or cut short, what is no JPEG) it
// declines, for another decoder to judge.

// "libjpeg-turbo 2.1.5", or why there is none.
struct JpegLibraryInfo {
    bool found = false;
    std::string text;
};
JpegLibraryInfo jpegLibraryInfo();

struct PictureSize {
    int64_t width = 0, height = 0;
};

// Size of the upright picture, EXIF orientation applied; nothing for what is declined.
std::optional<PictureSize> jpegSize(const uint8_t* bytes, size_t count);

// Carries out a plan, whose box is made of whole pixels. False, with `out` in any state, for what is
// declined.
bool decodeJpeg(const uint8_t* bytes, size_t count, const Plan& plan, uint8_t* out);

}  // namespace anneal::picture
