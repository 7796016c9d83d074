#ifdef ANNEAL_JPEG

#include "picture/jpeg_library.h"

#include <dlfcn.h>

#include <vector>

#include "picture/jpeg.h"

namespace anneal::picture {

namespace {

#define ANNEAL_TEXT_(x) #x
#define ANNEAL_TEXT(x) ANNEAL_TEXT_(x)

// The layout of its structures goes with the version of the interface, which is part of the name.
#if JPEG_LIB_VERSION >= 80
#define ANNEAL_JPEG_NAME "8"
#elif JPEG_LIB_VERSION >= 70
#define ANNEAL_JPEG_NAME "7"
#else
#define ANNEAL_JPEG_NAME "62"
#endif

std::vector<std::string> candidates() {
#ifdef __APPLE__
    return {"libjpeg." ANNEAL_JPEG_NAME ".dylib", ANNEAL_JPEG};
#else
    return {"libjpeg.so." ANNEAL_JPEG_NAME, ANNEAL_JPEG};
#endif
}

JpegLibrary open() {
    JpegLibrary library;
    void* handle = nullptr;
    for (const std::string& name : candidates()) {
        handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (handle) {
            library.file = name;
            break;
        }
        library.failure += (library.failure.empty() ? "" : "; ") + std::string(dlerror());
    }
    if (!handle) return library;
    library.failure.clear();
    const auto find = [&](auto& function, const char* name) {
        void* const symbol = dlsym(handle, name);
        if (!symbol) library.failure = library.file + " has no " + name + ": it is not libjpeg-turbo";
        function = reinterpret_cast<std::decay_t<decltype(function)>>(symbol);
    };
    find(library.stdError, "jpeg_std_error");
    find(library.createDecompress, "jpeg_CreateDecompress");
    find(library.destroyDecompress, "jpeg_destroy_decompress");
    find(library.memorySource, "jpeg_mem_src");
    find(library.readHeader, "jpeg_read_header");
    find(library.startDecompress, "jpeg_start_decompress");
    find(library.cropScanline, "jpeg_crop_scanline");
    find(library.skipScanlines, "jpeg_skip_scanlines");
    find(library.readScanlines, "jpeg_read_scanlines");
    return library;
}

}  // namespace

const JpegLibrary& JpegLibrary::get() {
    static const JpegLibrary library = open();
    return library;
}

JpegLibraryInfo jpegLibraryInfo() {
    const JpegLibrary& library = JpegLibrary::get();
    if (!library.found()) return {false, library.failure};
    return {true, "libjpeg-turbo " ANNEAL_TEXT(LIBJPEG_TURBO_VERSION)};
}

}  // namespace anneal::picture

#else

#include "picture/jpeg.h"

namespace anneal::picture {

JpegLibraryInfo jpegLibraryInfo() { return {false, "built without the header of libjpeg-turbo"}; }

std::optional<PictureSize> jpegSize(const uint8_t*, size_t) { return std::nullopt; }

bool decodeJpeg(const uint8_t*, size_t, const Plan&, uint8_t*) { return false; }

}  // namespace anneal::picture

#endif
