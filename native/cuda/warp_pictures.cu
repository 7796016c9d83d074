// Pictures of any sizes through a homography each, with the arithmetic of native/picture/warp.cpp: one thread
// a pixel.
#include "cuda/submit.h"
#include "picture/plan.h"
#include "picture/warp.h"

namespace anneal::cuda {

namespace {

constexpr int kFractionBits = 11;
constexpr int32_t kOne = 1 << kFractionBits;
constexpr int32_t kHalf = 1 << (2 * kFractionBits - 1);
constexpr int kSlots = picture::kPlacementSlots, kColours = picture::kChannels;
constexpr int64_t kMost = picture::kMaxSide;

struct Region {
    int64_t offset, left, top, width, height, wholeWidth, wholeHeight;
    const double* matrix;

    __device__ explicit Region(const double* slots)
        : offset(whole(slots[0])),
          left(whole(slots[1])),
          top(whole(slots[2])),
          width(whole(slots[3])),
          height(whole(slots[4])),
          wholeWidth(whole(slots[5])),
          wholeHeight(whole(slots[6])),
          matrix(slots + 7) {}
    __device__ static int64_t whole(double value) {
        return value >= 0 && value < 1e15 ? static_cast<int64_t>(value) : -1;
    }
    __device__ bool fits(int64_t bytes) const {
        return offset >= 0 && left >= 0 && top >= 0 && width > 0 && height > 0 && wholeWidth <= kMost &&
               wholeHeight <= kMost && left + width <= wholeWidth && top + height <= wholeHeight &&
               offset <= bytes && width * height * kColours <= bytes - offset;
    }
};

// Reflects a place at the centres of the first and the last pixel, as often as need be.
__device__ double mirrored(double place, int64_t size) {
    const double last = static_cast<double>(size - 1), period = 2 * last;
    double rest = std::fabs(place);
    rest -= std::floor(rest * (size > 1 ? 1 / period : 0)) * period;
    rest = rest < period - rest ? rest : period - rest;
    rest = rest > 0 ? rest : 0;
    return rest < last ? rest : last;
}

__device__ int32_t clamped(int64_t value, int64_t most) {
    return static_cast<int32_t>(value < 0 ? 0 : value > most ? most : value);
}

__global__ void warp(uint8_t* out, const uint8_t* bytes, int64_t size, const double* placements,
                     const uint8_t* tables, int64_t pixels, int64_t height, int64_t width, Faults faults) {
    for (int64_t i = globalThread(); i < pixels; i += globalThreads()) {
        const int64_t column = i % width, row = i / width % height, picture = i / width / height;
        const Region region(placements + picture * kSlots);
        if (!region.fits(size)) {
            faults.simple(FaultKind::Picture, picture, 0, 0);
            continue;
        }
        const double* const m = region.matrix;
        const double u = static_cast<double>(column), v = static_cast<double>(row),
                     w = m[6] * u + (m[7] * v + m[8]);
        const double x = mirrored((m[0] * u + (m[1] * v + m[2])) / w, region.wholeWidth);
        const double y = mirrored((m[3] * u + (m[4] * v + m[5])) / w, region.wholeHeight);
        const auto x0 = static_cast<int32_t>(x), y0 = static_cast<int32_t>(y);
        const auto across = static_cast<int32_t>((x - x0) * kOne + 0.5),
                   down = static_cast<int32_t>((y - y0) * kOne + 0.5);
        const int64_t nearX = x0 - region.left, nearY = y0 - region.top;
        const int32_t left = clamped(nearX, region.width - 1) * kColours,
                      right = clamped(nearX + 1, region.width - 1) * kColours;
        const uint8_t* const source = bytes + region.offset;
        const uint8_t* const upper = source + clamped(nearY, region.height - 1) * region.width * kColours;
        const uint8_t* const lower = source + clamped(nearY + 1, region.height - 1) * region.width * kColours;
        const int32_t w11 = across * down, w10 = (down << kFractionBits) - w11;
        const int32_t w01 = (across << kFractionBits) - w11, w00 = kOne * kOne - w01 - w10 - w11;
        for (int c = 0; c < kColours; c++) {
            const int32_t sum = upper[left + c] * w00 + upper[right + c] * w01 + lower[left + c] * w10 +
                                lower[right + c] * w11;
            const auto value = static_cast<uint8_t>((sum + kHalf) >> (2 * kFractionBits));
            out[i * kColours + c] = tables ? tables[picture * 256 + value] : value;
        }
    }
}

}  // namespace

void warpPictures(Context& context, const View& out, const View& bytes, const View& placements,
                  const View* tables) {
    const uint8_t* const table = dataOf<uint8_t>(tables);
    submit(context, "warp_pictures", [=](CudaRuntime& runtime) {
        const int64_t height = out.sizes[2], width = out.sizes[3], pixels = out.sizes[0] * height * width;
        if (pixels == 0) return;
        launch(warp, gridFor(pixels), runtime.stream(), out.as<uint8_t>(), bytes.as<const uint8_t>(),
               bytes.numel(), placements.as<const double>(), table, pixels, height, width,
               runtime.faultsFor("warp_pictures"));
    });
}

}  // namespace anneal::cuda
