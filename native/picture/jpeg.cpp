#ifdef ANNEAL_JPEG

#include "picture/jpeg.h"

#include <algorithm>
#include <csetjmp>
#include <cstring>
#include <utility>
#include <vector>

#include "picture/jpeg_header.h"
#include "picture/jpeg_library.h"
#include "picture/resample.h"

namespace anneal::picture {

namespace {

// More than this is for the decoder that tells people about it. The coefficients of progressive files are
// kept whole.
constexpr int64_t kMaxPixels = 178956970, kMaxProgressivePixels = 40'000'000;
// A small file may ask for any number of passes over a large picture.
constexpr int kMaxScans = 200;
// Columns beside those asked for, which the smoothing of colours looks at: two blocks of it.
constexpr int64_t kMargin = 32, kBlock = 32;

struct ErrorManager {
    jpeg_error_mgr base;
    std::jmp_buf escape;
};

void leave(j_common_ptr info) { std::longjmp(reinterpret_cast<ErrorManager*>(info->err)->escape, 1); }
void beQuiet(j_common_ptr) {}
// Damage of any kind: no use in going on.
void leaveAtWarning(j_common_ptr info, int level) {
    if (level < 0) leave(info);
}
void limitScans(j_common_ptr info) {
    if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > kMaxScans) leave(info);
}

// One of the stored picture's sides: what of it is needed, and how the result's side comes from it.
struct Side {
    double start, length;
    int64_t size, target, window, windowSize;
    bool flip;

    // The same, seen from the other end.
    void reverse() {
        start = static_cast<double>(size) - start - length;
        window = target - window - windowSize;
        flip = !flip;
    }
    Axis axis(int scale) const {
        const int64_t shrunk = (size + scale - 1) / scale;
        return bilinearAxis(start / scale, length / scale, shrunk, target, window, windowSize, flip);
    }
};

// By how much the picture may be shrunk while it is decoded: the filter that follows still halves it at
// least.
int chooseScale(const Side& x, const Side& y) {
    for (const int scale : {8, 4, 2}) {
        const auto fits = [&](const Side& side) {
            return side.length >= 2.0 * scale * static_cast<double>(side.target);
        };
        if (fits(x) && fits(y)) return scale;
    }
    return 1;
}

// Where libjpeg puts the window that it is asked for: it begins at a block, up to kBlock columns before the
// margin.
struct Region {
    int64_t left = 0, width = 0;
    std::vector<uint8_t> bytes;

    void makeRoom(int64_t columns, int64_t rows) {
        const size_t needed = (columns + 2 * kMargin + 2 * kBlock) * rows * kChannels;
        if (bytes.size() < needed) bytes.resize(needed);
    }
};

// Decodes columns [left, right) of rows [top, bottom) of the picture shrunk by `scale`, or a little more to
// the sides. Between setjmp and longjmp nothing may need a destructor: all such things are the caller's.
bool decodeRegion(const uint8_t* bytes, size_t count, int scale, int64_t left, int64_t right, int64_t top,
                  int64_t bottom, Region& region) {
    const JpegLibrary& library = JpegLibrary::get();
    jpeg_decompress_struct info;
    jpeg_progress_mgr progress;
    ErrorManager errors;
    std::memset(&info, 0, sizeof info);
    std::memset(&progress, 0, sizeof progress);
    info.err = library.stdError(&errors.base);
    errors.base.error_exit = leave;
    errors.base.output_message = beQuiet;
    errors.base.emit_message = leaveAtWarning;
    volatile bool created = false;
    if (setjmp(errors.escape) != 0) {
        if (created) library.destroyDecompress(&info);
        return false;
    }
    library.createDecompress(&info, JPEG_LIB_VERSION, sizeof info);
    created = true;
    progress.progress_monitor = limitScans;
    info.progress = &progress;
    library.memorySource(&info, const_cast<uint8_t*>(bytes), static_cast<unsigned long>(count));
    library.readHeader(&info, TRUE);
    info.out_color_space = JCS_RGB;
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(scale);
    bool good = info.jpeg_color_space == JCS_GRAYSCALE || info.jpeg_color_space == JCS_YCbCr ||
                info.jpeg_color_space == JCS_RGB;
    if (good) {
        library.startDecompress(&info);
        good =
            info.output_components == kChannels && right <= info.output_width && bottom <= info.output_height;
    }
    if (good) {
        JDIMENSION start = static_cast<JDIMENSION>(std::max<int64_t>(0, left - kMargin));
        JDIMENSION width =
            static_cast<JDIMENSION>(std::min<int64_t>(info.output_width, right + kMargin)) - start;
        if (width < info.output_width) library.cropScanline(&info, &start, &width);
        region.left = start;
        region.width = info.output_width;
        const size_t rowBytes = static_cast<size_t>(info.output_width) * kChannels;
        good = rowBytes * static_cast<size_t>(bottom - top) <= region.bytes.size();
        good = good && (top == 0 || library.skipScanlines(&info, static_cast<JDIMENSION>(top)) == top);
        uint8_t* row = region.bytes.data();
        for (int64_t y = top; good && y < bottom; y++, row += rowBytes)
            good = library.readScanlines(&info, &row, 1) == 1;
    }
    library.destroyDecompress(&info);
    return good;
}

// A file that was cut short lacks its end, even if the missing part is not asked for.
bool isComplete(const uint8_t* bytes, size_t count) {
    while (count > 2 && bytes[count - 1] == 0) count--;  // cameras pad
    return count >= 4 && bytes[count - 2] == 0xff && bytes[count - 1] == 0xd9;
}

bool canDecode(const JpegHeader& header) {
    const int64_t pixels = header.width * header.height;
    return (header.components == 1 || header.components == 3) &&
           pixels <= (header.progressive ? kMaxProgressivePixels : kMaxPixels);
}

}  // namespace

std::optional<PictureSize> jpegSize(const uint8_t* bytes, size_t count) {
    const auto header = readJpegHeader(bytes, count);
    if (!header || !canDecode(*header)) return std::nullopt;
    if (header->orientation >= 5) return PictureSize{header->height, header->width};
    return PictureSize{header->width, header->height};
}

bool decodeJpeg(const uint8_t* bytes, size_t count, const Plan& plan, uint8_t* out) {
    if (!JpegLibrary::get().found() || !isComplete(bytes, count)) return false;
    const auto header = readJpegHeader(bytes, count);
    if (!header || !canDecode(*header)) return false;
    const bool swaps = header->orientation >= 5;
    const int64_t width = swaps ? header->height : header->width;
    const int64_t height = swaps ? header->width : header->height;
    if (width != plan.width || height != plan.height) return false;

    Side x{plan.left,       plan.boxWidth,    plan.width, plan.targetWidth,
           plan.windowLeft, plan.windowWidth, plan.flipX};
    Side y{plan.top,       plan.boxHeight,    plan.height, plan.targetHeight,
           plan.windowTop, plan.windowHeight, plan.flipY};
    if (swaps) std::swap(x, y);
    const int orientation = header->orientation;
    if (orientation == 2 || orientation == 3 || orientation >= 7) x.reverse();
    if (orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7) y.reverse();

    const int scale = chooseScale(x, y);
    const Axis columns = x.axis(scale);
    const Axis rows = y.axis(scale);
    thread_local Region region;
    region.makeRoom(columns.high - columns.low, rows.high - rows.low);
    if (!decodeRegion(bytes, count, scale, columns.low, columns.high, rows.low, rows.high, region))
        return false;
    const uint8_t* source = region.bytes.data() + (columns.low - region.left) * kChannels;
    const size_t rowBytes = region.width * kChannels;
    if (swaps) {
        thread_local std::vector<uint8_t> turned;
        turned.resize(plan.bytes());
        resample(source, rowBytes, columns, rows, turned.data());
        transpose(turned.data(), columns.size(), rows.size(), out);
    } else {
        resample(source, rowBytes, columns, rows, out);
    }
    // One enormous picture does not hold its memory for good.
    if (region.bytes.capacity() > (size_t{32} << 20)) region.bytes = {};
    return true;
}

}  // namespace anneal::picture

#endif
