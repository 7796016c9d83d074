#include "cpu/winograd.h"

#include <algorithm>

#include "cpu/gemm_tile.h"
#include "cpu/onednn.h"
#include "cpu/parallel.h"
#include "cpu/winograd_transforms.h"

namespace anneal::cpu::winograd {

namespace {

using gemm::kColumns;
using gemm::kWidth;

constexpr int64_t kPad = 16;  // floats that keep the 16 planes and the rows off each other's cache sets
// Bytes of transformed patches that one thread works on: about what its second-level cache holds.
constexpr int64_t kBlockBytes = 1024 * 1024;

// A channels-last picture stack and the patches on it.
struct Pictures {
    float* data;
    int64_t count, channels, height, width;

    explicit Pictures(const View& view)
        : data(view.as<float>()),
          count(view.sizes[0]),
          channels(view.sizes[1]),
          height(view.sizes[2]),
          width(view.sizes[3]) {}
    float* at(int64_t n, int64_t row, int64_t column) const {
        return data + ((n * height + row) * width + column) * channels;
    }
};

// Tiles of 2 x 2 outputs.
struct Tiles {
    int64_t rows, columns, count;
    explicit Tiles(const Pictures& out)
        : rows((out.height + 1) / 2), columns((out.width + 1) / 2), count(out.count * rows * columns) {}
    struct Place {
        int64_t picture, row, column;
    };
    Place place(int64_t tile) const {
        return {tile / (rows * columns), tile / columns % rows, tile % columns};
    }
};

// 16 planes, one for each element of a transformed patch, of [tiles, channels].
struct Planes {
    float* data;
    int64_t row, plane;
    Planes(float* data, int64_t tiles, int64_t channels)
        : data(data), row(channels + kPad), plane(tiles * (channels + kPad) + kPad) {}
    Planes from(int64_t tile) const {
        Planes later = *this;
        later.data += tile * row;
        return later;
    }
    static int64_t floats(int64_t tiles, int64_t channels) { return 16 * (tiles * (channels + kPad) + kPad); }
};

const float* zeros(int64_t channels) {
    thread_local std::vector<float> row;
    if (static_cast<int64_t>(row.size()) < channels) row.assign(static_cast<size_t>(channels), 0.0f);
    return row.data();
}

ANNEAL_INLINE void storePlanes(const Planes& planes, int64_t at, const V (&values)[4][4]) {
    for (int i = 0; i < 4; i++) {
        for (int j = 0; j < 4; j++) simd::store(planes.data + (i * 4 + j) * planes.plane + at, values[i][j]);
    }
}

// B^T d B for tiles [begin, end); what lies outside the picture counts as zero.
void gatherInput(const Planes& planes, const Pictures& in, const Tiles& tiles, int64_t begin, int64_t end,
                 const int64_t (&padding)[2]) {
    const float* const outside = zeros(in.channels);
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, tileRow, tileColumn] = tiles.place(tile);
        const int64_t top = 2 * tileRow - padding[0], left = 2 * tileColumn - padding[1];
        const float* from[4][4];
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 4; j++) {
                const int64_t row = top + i, column = left + j;
                const bool inside = row >= 0 && row < in.height && column >= 0 && column < in.width;
                from[i][j] = inside ? in.at(n, row, column) : outside;
            }
        }
        for (int64_t c = 0; c < in.channels; c += kWidth) {
            V d[4][4];
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) d[i][j] = simd::load(from[i][j] + c);
            }
            transformInput(d);
            storePlanes(planes, (tile - begin) * planes.row + c, d);
        }
    }
}

// A dy A^T for tiles [begin, end).
void gatherGradient(const Planes& planes, const Pictures& gradient, const Tiles& tiles, int64_t begin,
                    int64_t end) {
    const float* const outside = zeros(gradient.channels);
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, tileRow, tileColumn] = tiles.place(tile);
        const float* from[2][2];
        for (int i = 0; i < 2; i++) {
            for (int j = 0; j < 2; j++) {
                const int64_t row = 2 * tileRow + i, column = 2 * tileColumn + j;
                const bool inside = row < gradient.height && column < gradient.width;
                from[i][j] = inside ? gradient.at(n, row, column) : outside;
            }
        }
        for (int64_t c = 0; c < gradient.channels; c += kWidth) {
            V y[2][2], z[4][4];
            for (int i = 0; i < 2; i++) {
                for (int j = 0; j < 2; j++) y[i][j] = simd::load(from[i][j] + c);
            }
            transformGradient(y, z);
            storePlanes(planes, (tile - begin) * planes.row + c, z);
        }
    }
}

// A^T m A for tiles [begin, end), cut off at the picture's edges.
void scatterOutput(const Planes& planes, const Pictures& out, const float* bias, const Tiles& tiles,
                   int64_t begin, int64_t end) {
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, tileRow, tileColumn] = tiles.place(tile);
        const int rows = out.height - 2 * tileRow > 1 ? 2 : 1,
                  columns = out.width - 2 * tileColumn > 1 ? 2 : 1;
        float* const to = out.at(n, 2 * tileRow, 2 * tileColumn);
        for (int64_t c = 0; c < out.channels; c += kWidth) {
            V m[4][4], y[2][2];
            const float* const from = planes.data + (tile - begin) * planes.row + c;
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) m[i][j] = simd::load(from + (i * 4 + j) * planes.plane);
            }
            transformOutput(m, y);
            const V shift = bias ? simd::load(bias + c) : V{};
            for (int i = 0; i < rows; i++) {
                for (int j = 0; j < columns; j++) {
                    simd::store(to + (i * out.width + j) * out.channels + c, y[i][j] + shift);
                }
            }
        }
    }
}

// Transformed filters, 16 planes of [panel of kColumns targets][source][kColumns]. `backward`: from the
// outputs' channels to the inputs', turned by half a circle.
struct Filters {
    const float* data;
    int64_t panel, plane;
};

Filters transformFilters(const View& weight, bool backward) {
    const int64_t outputs = weight.sizes[0], inputs = weight.sizes[1];
    const int64_t sources = backward ? outputs : inputs, targets = backward ? inputs : outputs;
    const int64_t panels = (targets + kColumns - 1) / kColumns;
    const Filters filters{nullptr, sources * kColumns, panels * sources * kColumns + kPad};
    auto* const data = static_cast<float*>(onednn::scratch(0, 16 * filters.plane * sizeof(float)));
    const float* const w = weight.as<const float>();
    const int64_t sourceStep = backward ? inputs * 9 : 9, targetStep = backward ? 9 : inputs * 9;
    // Blocks of one panel's vector and some sources; each is read once and written once.
    const int64_t vectors = targets / kWidth;
    parallelFor(vectors * sources, 256, [=](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t vector = index / sources, source = index % sources;
            const float* const from = w + vector * kWidth * targetStep + source * sourceStep;
            V taps[9], g[3][3], u[4][4];
            loadTaps(from, targetStep, taps);
            for (int i = 0; i < 9; i++) g[i / 3][i % 3] = taps[backward ? 8 - i : i];
            transformFilter(g, u);
            const int64_t target = vector * kWidth;
            float* const to =
                data + target / kColumns * filters.panel + source * kColumns + target % kColumns;
            for (int i = 0; i < 4; i++) {
                for (int j = 0; j < 4; j++) simd::store(to + (i * 4 + j) * filters.plane, u[i][j]);
            }
        }
    });
    return {data, filters.panel, filters.plane};
}

// Filters larger than this are read from the third-level cache or memory: once for many tiles, not once a
// block.
constexpr int64_t kManyFilters = 4 * 1024 * 1024 / (16 * static_cast<int64_t>(sizeof(float)));
constexpr int64_t kTilesTogether = 512;

int64_t floatsFor(int64_t tiles, int64_t sources, int64_t targets) {
    return Planes::floats(tiles, sources) + Planes::floats(tiles, targets);
}

float* planeMemory(int64_t floats) {
    return static_cast<float*>(onednn::scratch(1, static_cast<size_t>(floats) * sizeof(float)));
}

// Tiles that a thread takes through all steps at a time: what is between the steps stays in its cache, and
// the blocks are of equal size and a whole number for each thread.
int64_t tilesPerBlock(int64_t tiles, int64_t sources, int64_t targets) {
    const int64_t threads = omp_get_max_threads();
    const int64_t fitting = std::max<int64_t>(
        kBlockBytes / (16 * static_cast<int64_t>(sizeof(float)) * (sources + targets)), 2 * gemm::kRows);
    const int64_t rounds = (tiles + fitting * threads - 1) / (fitting * threads);
    return (tiles + rounds * threads - 1) / (rounds * threads);
}

void multiply(const Planes& target, const Planes& source, const Filters& filters, int plane, int64_t tiles,
              int64_t sources, int64_t targets) {
    gemm::product(tiles, targets, sources, source.data + plane * source.plane, source.row, 1,
                  filters.data + plane * filters.plane, filters.panel, kColumns,
                  target.data + plane * target.plane, target.row, false);
}

void convolve(const Pictures& out, const Pictures& in, const View& weight, const float* bias,
              const int64_t (&padding)[2], bool backward) {
    const Tiles tiles(out);
    const int64_t sources = in.channels, targets = out.channels;
    const Filters filters = transformFilters(weight, backward);
    if (sources * targets < kManyFilters) {
        const int64_t block = tilesPerBlock(tiles.count, sources, targets);
        const int64_t each = floatsFor(block, sources, targets);
        float* const memory = planeMemory(each * omp_get_max_threads());
        const int64_t blocks = (tiles.count + block - 1) / block;
        parallelFor(blocks, 1, [&](int64_t first, int64_t last) {
            float* const own = memory + omp_get_thread_num() * each;
            const Planes source(own, block, sources),
                target(own + Planes::floats(block, sources), block, targets);
            for (int64_t begin = first * block; begin < std::min(last * block, tiles.count); begin += block) {
                const int64_t end = std::min(begin + block, tiles.count);
                gatherInput(source, in, tiles, begin, end, padding);
                for (int i = 0; i < 16; i++)
                    multiply(target, source, filters, i, end - begin, sources, targets);
                scatterOutput(target, out, bias, tiles, begin, end);
            }
        });
        return;
    }
    const int64_t block = std::min(tiles.count, kTilesTogether);
    float* const memory = planeMemory(floatsFor(block, sources, targets));
    const Planes source(memory, block, sources),
        target(memory + Planes::floats(block, sources), block, targets);
    for (int64_t start = 0; start < tiles.count; start += block) {
        const int64_t count = std::min(block, tiles.count - start);
        parallelFor(count, 16, [&](int64_t begin, int64_t end) {
            gatherInput(source.from(begin), in, tiles, start + begin, start + end, padding);
        });
        parallelFor(16, 1, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                multiply(target, source, filters, static_cast<int>(i), count, sources, targets);
            }
        });
        parallelFor(count, 16, [&](int64_t begin, int64_t end) {
            scatterOutput(target.from(begin), out, bias, tiles, start + begin, start + end);
        });
    }
}

// dw[output][input][3][3] from its transform, the sum of `parts` times 16 planes of [inputs][outputs].
void finishFilters(const View& gradWeight, const float* data, int64_t parts, int64_t partFloats) {
    const int64_t outputs = gradWeight.sizes[0], inputs = gradWeight.sizes[1];
    float* const w = gradWeight.as<float>();
    parallelFor(outputs / kWidth * inputs, 256, [=](int64_t begin, int64_t end) {
        for (int64_t index = begin; index < end; index++) {
            const int64_t output = index / inputs * kWidth, input = index % inputs;
            V u[4][4], g[3][3];
            for (int i = 0; i < 16; i++) {
                const float* const from = data + (i * inputs + input) * outputs + output;
                V sum = simd::load(from);
                for (int64_t part = 1; part < parts; part++) sum += simd::load(from + part * partFloats);
                u[i / 4][i % 4] = sum;
            }
            transformFilterGradient(u, g);
            V taps[9];
            for (int i = 0; i < 9; i++) taps[i] = g[i / 3][i % 3];
            storeTaps(w + (output * inputs + input) * 9, inputs * 9, taps);
        }
    });
}

}  // namespace

bool suits(const View& input, const View& weight, const View& out, const ConvGeometry& g) {
    if (input.dtype != DType::Float32 || weight.dtype != DType::Float32 || g.groups != 1) return false;
    if (weight.sizes[2] != 3 || weight.sizes[3] != 3) return false;
    for (int i = 0; i < 2; i++) {
        if (g.stride[i] != 1 || g.dilation[i] != 1 || g.padding[i] > 2) return false;
    }
    if (weight.sizes[0] % kWidth != 0 || weight.sizes[1] % kWidth != 0) return false;
    // Transforming the filters costs as much as some tens of tiles.
    return Tiles(Pictures(out)).count >= 48;
}

void forward(const View& out, const View& input, const View& weight, const View* bias,
             const ConvGeometry& g) {
    convolve(Pictures(out), Pictures(input), weight, bias ? bias->as<const float>() : nullptr, g.padding,
             false);
}

void backwardInput(const View& gradInput, const View& gradOutput, const View& weight, const ConvGeometry& g) {
    const int64_t padding[2] = {2 - g.padding[0], 2 - g.padding[1]};
    convolve(Pictures(gradInput), Pictures(gradOutput), weight, nullptr, padding, true);
}

void backwardWeight(const View& gradWeight, const View& gradOutput, const View& input,
                    const ConvGeometry& g) {
    const Pictures in(input), gradient(gradOutput);
    const Tiles tiles(gradient);
    const int64_t inputs = in.channels, outputs = gradient.channels, partFloats = 16 * inputs * outputs;
    const int64_t threads = omp_get_max_threads();
    // Filters that fit a cache are summed by each thread for itself over its own tiles; large ones together,
    // a plane at a time. Which tiles go into which sum is fixed, so that results do not depend on timing.
    const bool apart = inputs * outputs < kManyFilters && tiles.count >= 64 * threads;
    const int64_t parts = apart ? threads : 1;
    auto* const sums =
        static_cast<float*>(onednn::scratch(0, static_cast<size_t>(parts * partFloats) * sizeof(float)));
    const auto accumulate = [&](const Planes& source, const Planes& target, int64_t plane, int64_t count,
                                float* sum, bool more) {
        gemm::product(inputs, outputs, count, source.data + plane * source.plane, 1, source.row,
                      target.data + plane * target.plane, kColumns, target.row,
                      sum + plane * inputs * outputs, outputs, more);
    };
    if (apart) {
        const int64_t perPart = (tiles.count + parts - 1) / parts;
        const int64_t block = tilesPerBlock(tiles.count, inputs, outputs);
        const int64_t each = floatsFor(block, inputs, outputs);
        float* const memory = planeMemory(each * parts);
        parallelFor(parts, 1, [&](int64_t firstPart, int64_t lastPart) {
            for (int64_t part = firstPart; part < lastPart; part++) {
                float* const own = memory + part * each;
                const Planes source(own, block, inputs),
                    target(own + Planes::floats(block, inputs), block, outputs);
                const int64_t start = part * perPart, stop = std::min(start + perPart, tiles.count);
                for (int64_t begin = start; begin < stop; begin += block) {
                    const int64_t end = std::min(begin + block, stop);
                    gatherInput(source, in, tiles, begin, end, g.padding);
                    gatherGradient(target, gradient, tiles, begin, end);
                    for (int i = 0; i < 16; i++) {
                        accumulate(source, target, i, end - begin, sums + part * partFloats, begin != start);
                    }
                }
            }
        });
    } else {
        const int64_t block = std::min(tiles.count, kTilesTogether);
        float* const memory = planeMemory(floatsFor(block, inputs, outputs));
        const Planes source(memory, block, inputs),
            target(memory + Planes::floats(block, inputs), block, outputs);
        for (int64_t start = 0; start < tiles.count; start += block) {
            const int64_t count = std::min(block, tiles.count - start);
            parallelFor(count, 16, [&](int64_t begin, int64_t end) {
                gatherInput(source.from(begin), in, tiles, start + begin, start + end, g.padding);
                gatherGradient(target.from(begin), gradient, tiles, start + begin, start + end);
            });
            parallelFor(16, 1, [&](int64_t begin, int64_t end) {
                for (int64_t i = begin; i < end; i++) accumulate(source, target, i, count, sums, start != 0);
            });
        }
    }
    finishFilters(gradWeight, sums, parts, partFloats);
}

}  // namespace anneal::cpu::winograd
