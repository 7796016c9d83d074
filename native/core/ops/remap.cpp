// Flipping, rolling, padding, repeating: each dimension is rearranged by itself, so one kernel serves them
// all.
#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

// In the order of `mapKinds` in src/engine/ops/remap.ts, with what the parameter means.
enum class MapKind : int64_t {
    Keep,
    Flip,
    Roll,        // places that elements move towards the end
    Constant,    // elements added before the first; fewer than zero takes some away
    Reflect,     // elements added before the first
    Replicate,   // elements added before the first
    Circular,    // elements added before the first
    Repeat,      // the whole, several times
    Interleave,  // each element, several times
};

constexpr int64_t kMapKinds = 9;

// How `newSize` elements come from `size` ones.
cpu::AxisMap mapOf(MapKind kind, int64_t size, int64_t newSize, int64_t parameter) {
    const int64_t before = parameter, after = newSize - size - before;
    switch (kind) {
        case MapKind::Flip:
            return {{{size, size - 1, -1}}};
        case MapKind::Roll:
            return {{{parameter, size - parameter, 1}, {size - parameter, 0, 1}}};
        case MapKind::Constant: {
            const int64_t first = std::min(std::max<int64_t>(before, 0), newSize);
            const int64_t cut = std::max<int64_t>(-before, 0);
            const int64_t inside = std::max<int64_t>(std::min(size - cut, newSize - first), 0);
            return {{{first, -1, 0}, {inside, cut, 1}, {newSize - first - inside, -1, 0}}};
        }
        case MapKind::Reflect:
            return {{{before, before, -1}, {size, 0, 1}, {after, size - 2, -1}}};
        case MapKind::Replicate:
            return {{{before, 0, 0}, {size, 0, 1}, {after, size - 1, 0}}};
        case MapKind::Circular:
            return {{{before, size - before, 1}, {size, 0, 1}, {after, 0, 1}}};
        case MapKind::Repeat:
            if (size <= 1) return {{{newSize, 0, 0}}};
            return {{{size, 0, 1}}, newSize / size};
        case MapKind::Interleave:
            return {{{newSize, 0, 1, std::max<int64_t>(1, size == 0 ? 1 : newSize / size)}}};
        default:
            return {{{size, 0, 1}}};
    }
}

// Whatever the arguments were, no run may reach outside.
void requireInside(const cpu::AxisMap& map, int64_t size, int64_t newSize, bool mayFill) {
    int64_t total = 0;
    for (const cpu::Run& run : map.runs) {
        const bool empty = run.length == 0 || map.times == 0;
        const int64_t last = run.source + (run.length - 1) / run.every * run.step;
        const bool filled = mayFill && run.source < 0 && run.step == 0 && run.length > 0;
        const bool inside =
            run.length > 0 && run.source >= 0 && run.source < size && last >= 0 && last < size;
        CHECK_SHAPE(empty || filled || inside, "a dimension of size ", size, " cannot become one of ",
                    newSize, " in this way");
        total += run.length * map.times;
    }
    CHECK_SHAPE(total == newSize, "a dimension of size ", size, " cannot become one of ", newSize);
}

std::vector<cpu::AxisMap> mapsOf(const Dims& sizes, const Dims& newSizes, const Dims& kinds,
                                 const Dims& parameters) {
    CHECK_SHAPE(
        sizes.size() == newSizes.size() && sizes.size() == kinds.size() && sizes.size() == parameters.size(),
        "remap: ", sizes.toString(), " to ", newSizes.toString(), " by kinds ", kinds.toString(),
        " with parameters ", parameters.toString());
    std::vector<cpu::AxisMap> maps;
    for (int d = 0; d < sizes.size(); d++) {
        CHECK_SHAPE(kinds[d] >= 0 && kinds[d] < kMapKinds && newSizes[d] >= 0, "remap: kind ", kinds[d],
                    " to size ", newSizes[d]);
        const auto kind = static_cast<MapKind>(kinds[d]);
        maps.push_back(mapOf(kind, sizes[d], newSizes[d], parameters[d]));
        requireInside(maps.back(), sizes[d], newSizes[d], kind == MapKind::Constant);
    }
    return maps;
}

Tensor emptyInOrder(Context& context, const Tensor& like, const Dims& sizes) {
    if (like.sizes() == sizes) return context.emptyLike(like);
    return like.isChannelsLast() && !like.isContiguous() ? context.emptyChannelsLast(like.dtype(), sizes)
                                                         : context.empty(like.dtype(), sizes);
}

}  // namespace

Tensor remap(Context& context, const Tensor& input, Dims kinds, Dims sizes, Dims parameters, double fill) {
    // First the memory: maps to sizes that nothing can hold could not be held themselves.
    Tensor out = emptyInOrder(context, input, sizes);
    if (out.numel() == 0) return out;
    std::vector<cpu::AxisMap> maps = mapsOf(input.sizes(), sizes, kinds, parameters);
    context.kernels().remap(context, out, input, std::move(maps), fill);
    return out;
}

Tensor remap_backward(Context& context, const Tensor& gradient, Dims inputSizes, Dims kinds,
                      Dims parameters) {
    CHECK_DTYPE(isFloating(gradient.dtype()), "remap: expected a floating gradient, got ",
                dtypeName(gradient.dtype()));
    Tensor out = emptyInOrder(context, gradient, inputSizes);
    if (gradient.numel() == 0) {
        context.kernels().fill(context, out, 0);
        return out;
    }
    std::vector<cpu::AxisMap> maps = mapsOf(inputSizes, gradient.sizes(), kinds, parameters);
    context.kernels().remapBackward(context, out, gradient, std::move(maps));
    return out;
}

Tensor triangle(Context& context, const Tensor& input, int64_t diagonal, bool upper) {
    CHECK_SHAPE(input.dims() >= 2, upper ? "triu" : "tril", ": expected at least two dimensions, got ",
                input.sizes().toString());
    Tensor out = context.empty(input.dtype(), input.sizes());
    context.kernels().triangle(context, out, input, diagonal, upper);
    return out;
}

}  // namespace anneal::ops
