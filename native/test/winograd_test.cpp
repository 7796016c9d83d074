#include "cpu/winograd.h"

#include <omp.h>

#include <array>
#include <cstring>
#include <tuple>
#include <vector>

#include "cpu/shared_cache.h"
#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

namespace {

using namespace anneal;

// Channels-last pictures, or weights, with their memory.
template <typename T>
struct Filled {
    std::vector<T> values;
    View view;
    Filled(DType dtype, const Dims& sizes, bool pictures) {
        view.dtype = dtype;
        view.sizes = sizes;
        view.strides = pictures ? Dims{sizes[1] * sizes[2] * sizes[3], 1, sizes[3] * sizes[1], sizes[1]}
                                : contiguousStrides(sizes);
        uint32_t state = 1;
        for (int64_t i = 0; i < view.numel(); i++) {
            state = state * 1664525u + 1013904223u;
            values.push_back(T(static_cast<float>(state >> 8) / (1 << 23) - 1));
        }
        view.data = values.data();
    }
    bool operator==(const Filled& other) const {
        return std::memcmp(values.data(), other.values.data(), values.size() * sizeof(T)) == 0;
    }
};

template <typename T>
void sameWithCopies(DType dtype, int64_t count, int64_t size, int64_t channels) {
    const Dims pictures{count, channels, size, size}, weights{channels, channels, 3, 3};
    const cpu::ConvGeometry geometry{{1, 1}, {1, 1}, {1, 1}, {1, 1}, 1};
    const auto run = [&](bool shared) {
        cpu::assumeSharedCache(shared);
        Filled<T> x(dtype, pictures, true), y(dtype, pictures, true), gradient(dtype, pictures, true);
        Filled<float> weight(DType::Float32, weights, false), gradWeight(DType::Float32, weights, false);
        cpu::winograd::forward(y.view, x.view, weight.view, nullptr, geometry);
        cpu::winograd::backwardInput(gradient.view, y.view, weight.view, geometry);
        cpu::winograd::backwardWeight(gradWeight.view, y.view, x.view, geometry);
        cpu::assumeSharedCache({});
        return std::tuple(y, gradient, gradWeight);
    };
    CHECK(run(true) == run(false));
}

TEST("Winograd: the same bits whether threads share what is prepared or make copies") {
    const int threads = omp_get_max_threads();
    omp_set_num_threads(2);
    // By tiles, by filters, and with tiles of all sizes.
    for (const auto& [count, size, channels] :
         {std::array<int64_t, 3>{2, 56, 64}, {4, 28, 128}, {4, 14, 256}, {2, 30, 64}}) {
        sameWithCopies<float>(DType::Float32, count, size, channels);
        sameWithCopies<BFloat16>(DType::BFloat16, count, size, channels);
    }
    omp_set_num_threads(threads);
}

TEST("shared cache: measured, and the same for a thread by itself") {
    const int threads = omp_get_max_threads();
    cpu::measureSharedCache();
    omp_set_num_threads(1);
    CHECK(cpu::coresShareCache());
    omp_set_num_threads(threads);
}

}  // namespace
