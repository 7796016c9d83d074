#include "core/kernels.h"
#include "core/ops.h"
#include "picture/warp.h"

namespace anneal::ops {

// `bytes` holds pictures of any sizes one after the other; row n of `placements` says where picture n lies
// and where each place of its result comes from, row n of `tables`, if given, what becomes of each value.
Tensor warp_pictures(Context& context, const Tensor& bytes, const Tensor& placements, optional<Tensor> tables,
                     int64_t height, int64_t width) {
    CHECK_DTYPE(bytes.dtype() == DType::UInt8 && placements.dtype() == DType::Float64,
                "warpPictures: expected bytes and placements in uint8 and float64, got ",
                dtypeName(bytes.dtype()), " and ", dtypeName(placements.dtype()));
    CHECK_SHAPE(bytes.dims() == 1 && placements.dims() == 2 && placements.size(1) == picture::kPlacementSlots,
                "warpPictures: expected bytes [B] and placements [N, ", picture::kPlacementSlots, "], got ",
                bytes.sizes().toString(), " and ", placements.sizes().toString());
    CHECK_SHAPE(height > 0 && width > 0, "warpPictures: ", height, " x ", width, " is not a size");
    const int64_t count = placements.size(0);
    if (tables) {
        CHECK_DTYPE(tables->dtype() == DType::UInt8, "warpPictures: expected tables in uint8, got ",
                    dtypeName(tables->dtype()));
        CHECK_SHAPE(tables->dims() == 2 && tables->size(0) == count && tables->size(1) == 256,
                    "warpPictures: expected tables [", count, ", 256], got ", tables->sizes().toString());
        tables = contiguous(context, *tables);
    }
    Tensor out = context.emptyChannelsLast(DType::UInt8, Dims{count, 3, height, width});
    if (out.numel() == 0) return out;
    const View view = tables ? View(*tables) : View();
    context.kernels().warpPictures(context, out, contiguous(context, bytes), contiguous(context, placements),
                                   tables ? &view : nullptr);
    return out;
}

}  // namespace anneal::ops
