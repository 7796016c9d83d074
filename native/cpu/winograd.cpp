#include "cpu/winograd.h"

#include <algorithm>
#include <type_traits>

#include "cpu/gemm_tile.h"
#include "cpu/onednn.h"
#include "cpu/parallel.h"
#include "cpu/winograd_filters.h"
#include "cpu/winograd_planes.h"

namespace anneal::cpu::winograd {

namespace {

using gemm::kWidth;

// Bytes of transformed patches that one thread works on: about what its second-level cache holds.
constexpr int64_t kBlockBytes = 768 * 1024;

// Products that are summed in one go: the larger tiles' transforms magnify what a long sum rounds off, which
// is lost again where results are rounded to bfloat16.
template <int M, typename T>
constexpr int64_t kPiece = std::is_same_v<T, BFloat16> ? 1024
                           : M == 2                    ? 64
                                                       : 32;

float* scratchFloats(int slot, int64_t floats) {
    return static_cast<float*>(onednn::scratch(slot, static_cast<size_t>(floats) * sizeof(float)));
}

template <int M>
int64_t floatsFor(int64_t tiles, int64_t sources, int64_t targets) {
    return Planes<M>::floats(tiles, sources) + Planes<M>::floats(tiles, targets);
}

// Tiles that a thread takes through all steps at a time: what is between the steps stays in its cache, and
// the blocks are of equal size and a whole number for each thread.
template <int M>
int64_t tilesPerBlock(int64_t tiles, int64_t sources, int64_t targets) {
    const int64_t threads = omp_get_max_threads();
    const int64_t tileBytes = kPlanes<M> * static_cast<int64_t>(sizeof(float)) * (sources + targets);
    const int64_t fitting = std::max<int64_t>(kBlockBytes / tileBytes, 2 * gemm::kRows);
    const int64_t rounds = (tiles + fitting * threads - 1) / (fitting * threads);
    return (tiles + rounds * threads - 1) / (rounds * threads);
}

// --- few filters: all are transformed first and stay in the caches, each thread works on tiles of its own

template <int M, typename T>
void convolveByTiles(const Pictures<T>& out, const Pictures<T>& in, const Taps& taps, const Finish<T>& finish,
                     const int64_t (&padding)[2]) {
    const Tiles<M> tiles(out.count, out.height, out.width);
    const int64_t sources = in.channels, targets = out.channels;
    const int64_t panels = (targets + kColumns - 1) / kColumns;
    const Filters filters(scratchFloats(0, Filters::floats<M>(sources, panels)), sources, panels);
    parallelFor(targets / kWidth * sources, 256, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t target = index / sources * kWidth, source = index % sources;
            taps.transform<M>(
                source, target,
                filters.data + target / kColumns * filters.panel + source * kColumns + target % kColumns,
                filters.plane);
        }
    });
    const int64_t block = tilesPerBlock<M>(tiles.count, sources, kColumns);
    const int64_t sourceFloats = Planes<M>::floats(block, sources);
    const int64_t each = sourceFloats + Planes<M>::floats(block, kColumns, 0);
    float* const memory = scratchFloats(1, each * omp_get_max_threads());
    parallelFor((tiles.count + block - 1) / block, 1, [&](int64_t first, int64_t last) {
        float* const own = memory + omp_get_thread_num() * each;
        const Planes<M> source(own, block, sources), target(own + sourceFloats, block, kColumns, 0);
        for (int64_t begin = first * block; begin < std::min(last * block, tiles.count); begin += block) {
            const int64_t end = std::min(begin + block, tiles.count);
            gatherInput<M, T>(source, in, tiles, begin, end, padding);
            for (int64_t channel = 0; channel < targets; channel += kColumns) {
                const float* const panel = filters.data + channel / kColumns * filters.panel;
                const int64_t columns = std::min(kColumns + 0L, targets - channel);
                for (int64_t i = 0; i < kPlanes<M>; i++) {
                    gemm::product(end - begin, columns, sources, source.data + i * source.plane, source.row,
                                  1, panel + i * filters.plane, 0, kColumns, target.data + i * target.plane,
                                  target.row, false, kPiece<M, T>);
                }
                scatterOutput<M, T>(target, out, finish, tiles, begin, end, channel, columns);
            }
        }
    });
}

// The gradient of the filters, of which each thread sums a part over tiles of its own. Which tiles go into
// which sum is fixed, so that results do not depend on timing.
template <int M, typename T>
void accumulateByTiles(const View& gradWeight, const Pictures<T>& gradient, const Pictures<T>& in,
                       const int64_t (&padding)[2]) {
    const Tiles<M> tiles(gradient.count, gradient.height, gradient.width);
    const int64_t inputs = in.channels, outputs = gradient.channels, parts = omp_get_max_threads();
    const int64_t plane = inputs * outputs, partFloats = kPlanes<M> * plane;
    float* const sums = scratchFloats(0, parts * partFloats);
    const int64_t perPart = (tiles.count + parts - 1) / parts;
    const int64_t block = tilesPerBlock<M>(tiles.count, inputs, outputs);
    const int64_t each = floatsFor<M>(block, inputs, outputs);
    float* const memory = scratchFloats(1, each * parts);
    parallelFor(parts, 1, [&](int64_t firstPart, int64_t lastPart) {
        for (int64_t part = firstPart; part < lastPart; part++) {
            float* const own = memory + part * each;
            const Planes<M> source(own, block, inputs),
                target(own + Planes<M>::floats(block, inputs), block, outputs);
            const int64_t start = part * perPart, stop = std::min(start + perPart, tiles.count);
            if (start >= stop) std::fill_n(sums + part * partFloats, partFloats, 0.0f);
            for (int64_t begin = start; begin < stop; begin += block) {
                const int64_t end = std::min(begin + block, stop);
                gatherInput<M, T>(source, in, tiles, begin, end, padding);
                gatherGradient<M, T>(target, gradient, tiles, begin, end);
                for (int64_t i = 0; i < kPlanes<M>; i++) {
                    gemm::product(inputs, outputs, end - begin, source.data + i * source.plane, 1, source.row,
                                  target.data + i * target.plane, kColumns, target.row,
                                  sums + part * partFloats + i * plane, outputs, begin != start, block);
                }
            }
        }
    });
    float* const weight = gradWeight.as<float>();
    parallelFor(outputs / kWidth * inputs, 256, [&](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t output = index / inputs * kWidth, input = index % inputs;
            finishFilter<M>(weight + (output * inputs + input) * 9, inputs * 9,
                            sums + input * outputs + output, plane, parts, partFloats, false);
        }
    });
}

// --- many filters: they would not stay in a cache once transformed, so each thread transforms some of them
// and uses them up on all tiles, which are transformed first

constexpr int64_t kSourcesTogether = 64, kInputsTogether = 4 * gemm::kRows;
template <typename T>
constexpr int64_t kTilesSummed =
    std::is_same_v<T, BFloat16> ? 1024 : 24;     // products that are summed in one go
constexpr int64_t kTileBytes = 3 * 1024 * 1024;  // of transformed tiles, in the third-level cache

template <int M>
int64_t tilesTogether(int64_t tiles, int64_t channels) {
    const int64_t most = std::max<int64_t>(
        kTileBytes / (kPlanes<M> * channels * static_cast<int64_t>(sizeof(float))), 4 * gemm::kRows);
    const int64_t rounds = (tiles + most - 1) / most;
    return (tiles + rounds - 1) / rounds;
}

template <int M, typename T>
void convolveByFilters(const Pictures<T>& out, const Pictures<T>& in, const Taps& taps,
                       const Finish<T>& finish, const int64_t (&padding)[2]) {
    const Tiles<M> tiles(out.count, out.height, out.width);
    const int64_t sources = in.channels, targets = out.channels;
    const int64_t together = tilesTogether<M>(tiles.count, sources);
    const Planes<M> source(scratchFloats(0, Planes<M>::floats(together, sources)), together, sources);
    const int64_t filterFloats = Filters::floats<M>(kSourcesTogether, 1);
    const int64_t each = filterFloats + Planes<M>::floats(together, kColumns, 0);
    float* const memory = scratchFloats(1, each * omp_get_max_threads());
    for (int64_t start = 0; start < tiles.count; start += together) {
        const int64_t count = std::min(together, tiles.count - start);
        parallelFor(count, 4, [&](int64_t begin, int64_t end) {
            gatherInput<M, T>(source.from(begin), in, tiles, start + begin, start + end, padding);
        });
        parallelFor((targets + kColumns - 1) / kColumns, 1, [&](int64_t first, int64_t last) {
            float* const own = memory + omp_get_thread_num() * each;
            const Filters filters(own, kSourcesTogether, 1);
            const Planes<M> target(own + filterFloats, together, kColumns, 0);
            for (int64_t panel = first; panel < last; panel++) {
                const int64_t channel = panel * kColumns,
                              columns = std::min(kColumns + 0L, targets - channel);
                for (int64_t k = 0; k < sources; k += kSourcesTogether) {
                    const int64_t depth = std::min(kSourcesTogether, sources - k);
                    for (int64_t column = 0; column < columns; column += kWidth) {
                        for (int64_t i = 0; i < depth; i++) {
                            taps.transform<M>(k + i, channel + column, filters.data + i * kColumns + column,
                                              filters.plane);
                        }
                    }
                    for (int64_t i = 0; i < kPlanes<M>; i++) {
                        gemm::product(count, columns, depth, source.data + i * source.plane + k, source.row,
                                      1, filters.data + i * filters.plane, 0, kColumns,
                                      target.data + i * target.plane, target.row, k != 0, kPiece<M, T>);
                    }
                }
                scatterOutput<M, T>(target, out, finish, tiles, start, start + count, channel, columns);
            }
        });
    }
}

template <int M, typename T>
void accumulateByFilters(const View& gradWeight, const Pictures<T>& gradient, const Pictures<T>& in,
                         const int64_t (&padding)[2]) {
    const Tiles<M> tiles(gradient.count, gradient.height, gradient.width);
    const int64_t inputs = in.channels, outputs = gradient.channels;
    const int64_t together = tilesTogether<M>(tiles.count, (inputs + outputs) / 4);
    float* const weight = gradWeight.as<float>();
    const Planes<M> source(scratchFloats(0, floatsFor<M>(together, inputs, outputs)), together, inputs),
        target(source.data + Planes<M>::floats(together, inputs), together, outputs);
    constexpr int64_t kPlane = kInputsTogether * kColumns + kPad;
    float* const memory = scratchFloats(1, kPlanes<M> * kPlane * omp_get_max_threads());
    const int64_t blocks = (inputs + kInputsTogether - 1) / kInputsTogether;
    for (int64_t start = 0; start < tiles.count; start += together) {
        const int64_t count = std::min(together, tiles.count - start);
        parallelFor(count, 4, [&](int64_t begin, int64_t end) {
            gatherInput<M, T>(source.from(begin), in, tiles, start + begin, start + end, padding);
            gatherGradient<M, T>(target.from(begin), gradient, tiles, start + begin, start + end);
        });
        parallelFor((outputs + kColumns - 1) / kColumns * blocks, 1, [&](int64_t first, int64_t last) {
            float* const sums = memory + omp_get_thread_num() * kPlanes<M> * kPlane;
            for (int64_t index = first; index < last; index++) {
                const int64_t output = index / blocks * kColumns, input = index % blocks * kInputsTogether;
                const int64_t columns = std::min(kColumns + 0L, outputs - output),
                              rows = std::min(kInputsTogether, inputs - input);
                for (int64_t i = 0; i < kPlanes<M>; i++) {
                    gemm::product(rows, columns, count, source.data + i * source.plane + input, 1, source.row,
                                  target.data + i * target.plane + output, 0, target.row, sums + i * kPlane,
                                  kColumns, false, kTilesSummed<T>);
                }
                for (int64_t column = 0; column < columns; column += kWidth) {
                    for (int64_t row = 0; row < rows; row++) {
                        finishFilter<M>(weight + ((output + column) * inputs + input + row) * 9, inputs * 9,
                                        sums + row * kColumns + column, kPlane, 1, 0, start != 0);
                    }
                }
            }
        });
    }
}

// --- the choice

// Transformed filters of more bytes than this are many: they would have to come from memory again and again.
// Their gradients are written as well, to sums that each thread has of its own.
constexpr int64_t kManyFilterBytes = 8 * 1024 * 1024, kManySumBytes = kManyFilterBytes / 2;

template <int M>
int64_t filterBytes(int64_t inputs, int64_t outputs) {
    return kPlanes<M> * inputs * outputs * static_cast<int64_t>(sizeof(float));
}

template <int M, typename T>
void convolve(const View& outView, const View& inView, const Taps& taps, const Finish<T>& finish,
              const int64_t (&padding)[2]) {
    const Pictures<T> out(outView), in(inView);
    const bool many = filterBytes<M>(in.channels, out.channels) > kManyFilterBytes;
    const auto run = many ? convolveByFilters<M, T> : convolveByTiles<M, T>;
    run(out, in, taps, finish, padding);
}

// Vector operations that take as long as transforming a vector of patches, there or back, or of filters.
template <int M>
constexpr int64_t kPatchCost = M == 2   ? 120
                               : M == 4 ? 300
                               : M == 7 ? 750
                                        : 1000;
template <int M>
constexpr int64_t kFilterCost = M == 2   ? 150
                                : M == 4 ? 230
                                : M == 7 ? 500
                                         : 600;

template <int M>
int64_t costOf(const View& out, int64_t inputs, int64_t outputs) {
    const int64_t tiles = Tiles<M>(out.sizes[0], out.sizes[2], out.sizes[3]).count;
    return (kPlanes<M> * tiles * inputs * outputs + kPatchCost<M> * tiles * (inputs + outputs) +
            kFilterCost<M> * inputs * outputs) /
           kWidth;
}

// The best tile for a convolution. Larger ones take fewer multiplications, but more where they hang over the
// edges of small pictures, and larger filters.
struct Choice {
    int tile = 2;
    int64_t cost;
    Choice(const View& weight, const View& out, DType dtype) {
        const int64_t inputs = weight.sizes[1], outputs = weight.sizes[0];
        cost = costOf<2>(out, inputs, outputs);
#if !defined(__x86_64__) || defined(__FMA__)  // else every product would round on its own, which they magnify
        consider(4, costOf<4>(out, inputs, outputs));
        if (dtype != DType::BFloat16) return;
        consider(7, costOf<7>(out, inputs, outputs));
        consider(8, costOf<8>(out, inputs, outputs));
#endif
    }

  private:
    void consider(int other, int64_t otherCost) {
        if (otherCost < cost) tile = other, cost = otherCost;
    }
};

// Calls body with the tile's size and the storage type as template arguments.
template <typename Body>
void dispatch(const View& weight, const View& out, const Body& body) {
    const int tile = Choice(weight, out, out.dtype).tile;
    if (out.dtype == DType::BFloat16) {
        switch (tile) {
            case 2:
                return body(std::integral_constant<int, 2>{}, BFloat16{});
            case 4:
                return body(std::integral_constant<int, 4>{}, BFloat16{});
            case 7:
                return body(std::integral_constant<int, 7>{}, BFloat16{});
            default:
                return body(std::integral_constant<int, 8>{}, BFloat16{});
        }
    }
    if (tile == 2) {
        body(std::integral_constant<int, 2>{}, float{});
    } else {
        body(std::integral_constant<int, 4>{}, float{});
    }
}

// In bfloat16 the direct method multiplies twice as fast as this one in float32, or many times with matrix
// units, but has weights or their gradients to bring into another order (measured on Zen 4).
bool outrunsHalf(const View& weight, const View& out) {
    if (onednn::hasMatrixUnits()) return false;
    const int64_t pixels = out.sizes[0] * out.sizes[2] * out.sizes[3];
    const int64_t direct = (5 * pixels + 100) * weight.sizes[0] * weight.sizes[1] / kWidth;
    return 1.3 * Choice(weight, out, DType::BFloat16).cost < direct;
}

}  // namespace

bool suits(const View& input, const View& weight, const View& out, const ConvGeometry& g) {
    const bool half = input.dtype == DType::BFloat16;
    if ((input.dtype != DType::Float32 && !half) || g.groups != 1) return false;
    if (half && !outrunsHalf(weight, out)) return false;
    if (weight.sizes[2] != 3 || weight.sizes[3] != 3) return false;
    for (int i = 0; i < 2; i++) {
        if (g.stride[i] != 1 || g.dilation[i] != 1 || g.padding[i] > 2) return false;
    }
    if (weight.sizes[0] % kWidth != 0 || weight.sizes[1] % kWidth != 0) return false;
    // Fewer multiplications than the direct method's, the filters' transforms included.
    const int64_t tiles = Tiles<2>(out.sizes[0], out.sizes[2], out.sizes[3]).count;
    const int64_t outputs = out.sizes[0] * out.sizes[2] * out.sizes[3];
    return tiles >= 4 && kPlanes<2> * tiles < 8 * outputs;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    dispatch(weight, out, [&](auto size, auto tag) {
        using T = decltype(tag);
        const Finish<T> finish{bias ? bias->as<const float>() : nullptr, nullptr, false};
        convolve<decltype(size)::value, T>(out, input, Taps(weight, false), finish, g.padding);
    });
}

void forward(const View& out, const View& input, const View& weight, const ConvEpilogue& epilogue,
             const ConvGeometry& g) {
    dispatch(weight, out, [&](auto size, auto tag) {
        using T = decltype(tag);
        const Finish<T> finish{epilogue.shift, static_cast<const T*>(epilogue.residual), epilogue.relu};
        convolve<decltype(size)::value, T>(out, input, Taps(weight, false, epilogue.scale), finish,
                                           g.padding);
    });
}

void backwardInput(const View& gradInput, const View& gradOutput, const View& weight, const ConvGeometry& g) {
    const int64_t padding[2] = {2 - g.padding[0], 2 - g.padding[1]};
    dispatch(weight, gradInput, [&](auto size, auto tag) {
        using T = decltype(tag);
        convolve<decltype(size)::value, T>(gradInput, gradOutput, Taps(weight, true), Finish<T>{}, padding);
    });
}

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    dispatch(gradWeight, gradOutput, [&](auto size, auto tag) {
        constexpr int M = decltype(size)::value;
        using T = decltype(tag);
        const Pictures<T> gradient(gradOutput), in(input);
        const bool many = filterBytes<M>(in.channels, gradient.channels) > kManySumBytes;
        const auto run = many ? accumulateByFilters<M, T> : accumulateByTiles<M, T>;
        run(gradWeight, gradient, in, g.padding);
    });
}

}  // namespace anneal::cpu::winograd
