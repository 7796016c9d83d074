#include "cpu/conv_bias.h"

#include "cpu/kernels.h"
#include "cpu/rows.h"

namespace anneal::cpu {

void sumPixels(const View& gradBias, const View& gradOutput) {
    const int64_t channels = gradBias.numel();
    float* const to = gradBias.as<float>();
    dispatchFloating(gradOutput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const T* const gradient = gradOutput.as<const T>();
        const Chunks chunks(gradOutput.numel() / channels, channels * static_cast<int64_t>(sizeof(T)));
        std::vector<double> memory(static_cast<size_t>(chunks.count * 2 * channels));
        const ChunkSums sums{memory.data(), channels};
        sumRows<C, 4>(
            chunks, sums, [](int64_t, int64_t, int64_t) {},
            [=](int64_t, int64_t row, auto count, C* sum, C*) {
                const T* const from = gradient + row * channels;
                simd::forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    auto total = simd::load(sum + c, lanes);
                    for (int u = 0; u < count; u++) total += simd::load(from + u * channels + c, lanes);
                    simd::store(sum + c, total, lanes);
                });
            });
        for (int64_t c = 0; c < channels; c++) {
            double total = 0;
            for (int64_t chunk = 0; chunk < chunks.count; chunk++) total += sums.first(chunk)[c];
            to[c] = static_cast<float>(total);
        }
    });
}

void addChannelBias(Context& context, const View& out, const View& bias) {
    const int64_t channels = bias.sizes[0], pixels = out.numel() / channels;
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const values = out.as<T>();
        const C* const shifts = bias.as<const C>();
        context.enqueue("addChannelBias", [=] {
            // Few channels would fill a part of a vector only: several pixels make a row.
            const int64_t together = std::max<int64_t>(1, 64 / channels), size = together * channels;
            std::vector<C> row(size);
            for (int64_t i = 0; i < size; i++) row[i] = shifts[i % channels];
            const C* const pattern = row.data();
            const int64_t rows = (pixels + together - 1) / together;
            parallelFor(rows, std::max<int64_t>(1, kGrain / size), [=](int64_t begin, int64_t end) {
                for (int64_t r = begin; r < end; r++) {
                    T* const target = values + r * size;
                    simd::forLanes<C>(std::min(size, pixels * channels - r * size), [=](int64_t i,
                                                                                        auto lanes) {
                        simd::store(target + i,
                                    simd::load(target + i, lanes) + simd::load(pattern + i, lanes), lanes);
                    });
                }
            });
        });
    });
}

}  // namespace anneal::cpu
