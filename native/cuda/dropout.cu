// Dropout over dense memory. The draws are counter-based (Philox 4x32-10 of Salmon et al. 2011): every
// element's depends on a key and on its place alone. The key comes from the processor's generator, so that
// one seed and one saved state decide both devices' numbers.
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

__device__ inline void philoxRound(uint32_t (&counter)[4], uint32_t (&key)[2]) {
    const uint32_t low0 = 0xd2511f53u * counter[0], high0 = __umulhi(0xd2511f53u, counter[0]);
    const uint32_t low1 = 0xcd9e8d57u * counter[2], high1 = __umulhi(0xcd9e8d57u, counter[2]);
    counter[0] = high1 ^ counter[1] ^ key[0];
    counter[1] = low1;
    counter[2] = high0 ^ counter[3] ^ key[1];
    counter[3] = low0;
    key[0] += 0x9e3779b9u;
    key[1] += 0xbb67ae85u;
}

// Four draws a thread: kept where the draw, as a number in [0, 1), is below `keep`.
__global__ void drawBytes(uint8_t* mask, int64_t count, const uint64_t* given, double keep) {
    const uint64_t seed = *given;
    const auto threshold = static_cast<uint64_t>(keep * 4294967296.0);
    for (int64_t i = globalThread(); i * 4 < count; i += globalThreads()) {
        uint32_t counter[4] = {static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32), 0, 0};
        uint32_t key[2] = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
#pragma unroll
        for (int round = 0; round < 10; round++) philoxRound(counter, key);
        for (int64_t k = 0; k < 4 && i * 4 + k < count; k++) mask[i * 4 + k] = counter[k] < threshold ? 1 : 0;
    }
}

template <typename T>
__global__ void scaleKept(T* out, const T* input, const uint8_t* mask, int64_t count, Compute<T> scale) {
    for (int64_t i = globalThread(); i < count; i += globalThreads())
        out[i] = fromCompute<T>(toCompute(input[i]) * (mask[i] != 0 ? scale : Compute<T>(0)));
}

}  // namespace

void drawMask(Context& context, const View& mask, double keep) {
    const int64_t count = mask.numel();
    const Tensor key = context.scratch(sizeof(uint64_t));
    submit(context, "dropout",
           [=, &generator = context.generator(), place = key.data()](CudaRuntime& runtime) {
               if (count == 0) return;
               // At a probability of one nothing is drawn, as on the processor.
               runtime.setFresh(place, sizeof(uint64_t), [&generator, keep](void* to) {
                   *static_cast<uint64_t*>(to) = keep > 0 ? generator.random64() : 0;
               });
               launch(drawBytes, gridFor((count + 3) / 4), runtime.stream(), mask.as<uint8_t>(), count,
                      static_cast<const uint64_t*>(place), keep);
           });
}

void applyMask(Context& context, const View& out, const View& input, const View& mask, double keep) {
    submit(context, "dropout", [=](CudaRuntime& runtime) {
        const int64_t count = input.numel();
        if (count == 0) return;
        dispatchFloating(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = Compute<T>;
            // PyTorch divides the mask in the tensor's own precision.
            const C scale = keep > 0 ? static_cast<C>(T(C(1) / static_cast<C>(keep))) : C(0);
            launch(scaleKept<T>, gridFor(count), runtime.stream(), out.as<T>(), input.as<const T>(),
                   mask.as<const uint8_t>(), count, scale);
        });
    });
}

}  // namespace anneal::cuda
