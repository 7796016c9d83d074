#include "core/random.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Dropout over dense memory: one byte of mask for each element.
namespace anneal::cpu {

using namespace simd;

void drawMask(Context& context, const View& mask, double keep) {
    uint8_t* const bytes = mask.as<uint8_t>();
    const int64_t count = mask.numel();
    context.enqueue("dropout", [&generator = context.generator(), bytes, count, keep] {
        if (keep > 0) {
            fillBernoulli(generator, bytes, count, keep);
        } else {
            std::fill(bytes, bytes + count, uint8_t{0});  // PyTorch draws nothing then
        }
    });
}

void applyMask(Context& context, const View& out, const View& input, const View& mask, double keep) {
    const uint8_t* const bytes = mask.as<uint8_t>();
    const int64_t count = input.numel();
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const y = out.as<T>();
        const T* const x = input.as<T>();
        // PyTorch divides the mask in the tensor's own precision.
        const C scale = keep > 0 ? static_cast<C>(T(C(1) / static_cast<C>(keep))) : C(0);
        context.enqueue("dropout", [=] {
            parallelFor(count, kGrain, [=](int64_t begin, int64_t end) {
                forLanes<C>(end - begin, [=](int64_t i, auto lanes) {
                    const auto kept = loadIndex<C>(bytes + begin + i, lanes) != 0;
                    const auto factor = kept ? splat<C>(scale) : Vector<C>{};
                    store(y + begin + i, load(x + begin + i, lanes) * factor, lanes);
                });
            });
        });
    });
}

}  // namespace anneal::cpu
