#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "picture/warp.h"

namespace anneal::cpu {

// Rows of the results that one chunk makes: some ten thousand pixels.
constexpr int64_t kRows = 32;

void warpPictures(Context& context, const View& out, const View& bytes, const View& placements,
                  const View* tables) {
    const uint8_t* table = tables ? tables->as<uint8_t>() : nullptr;
    context.enqueue("warp_pictures", [out, bytes, placements, table] {
        const int64_t count = out.sizes[0], height = out.sizes[2], width = out.sizes[3];
        const auto placementOf = [&](int64_t picture) {
            return picture::Placement::read(placements.as<double>() + picture * picture::kPlacementSlots);
        };
        for (int64_t picture = 0; picture < count; picture++) {
            CHECK(placementOf(picture).fits(bytes.numel()), ErrorKind::Shape, "warpPictures: picture ",
                  picture, " lies outside the bytes");
        }
        const int64_t strips = (height + kRows - 1) / kRows;
        parallelFor(count * strips, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                const int64_t picture = i / strips, row = i % strips * kRows;
                picture::warpRows(bytes.as<uint8_t>(), placementOf(picture),
                                  table ? table + picture * 256 : nullptr, false, width, row,
                                  std::min(height, row + kRows),
                                  out.as<uint8_t>() + (picture * height + row) * width * 3);
            }
        });
    });
}

}  // namespace anneal::cpu
