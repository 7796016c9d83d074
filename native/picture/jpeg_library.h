#pragma once

// jpeglib.h wants FILE.
#include <cstdio>

#include <jpeglib.h>

#include <string>

namespace anneal::picture {

// libjpeg-turbo's functions, found at run time: an add-on that was built with its header also loads where it
// is missing.
struct JpegLibrary {
    decltype(&jpeg_std_error) stdError = nullptr;
    decltype(&jpeg_CreateDecompress) createDecompress = nullptr;
    decltype(&jpeg_destroy_decompress) destroyDecompress = nullptr;
    decltype(&jpeg_mem_src) memorySource = nullptr;
    decltype(&jpeg_read_header) readHeader = nullptr;
    decltype(&jpeg_start_decompress) startDecompress = nullptr;
    decltype(&jpeg_crop_scanline) cropScanline = nullptr;
    decltype(&jpeg_skip_scanlines) skipScanlines = nullptr;
    decltype(&jpeg_read_scanlines) readScanlines = nullptr;
    std::string file;     // that was opened
    std::string failure;  // why none was; empty otherwise

    // The library of the process; opened at first use, never closed.
    static const JpegLibrary& get();
    bool found() const { return failure.empty(); }
};

}  // namespace anneal::picture
