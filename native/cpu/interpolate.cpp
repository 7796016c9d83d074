#include <cmath>
#include <cstring>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"
#include "cpu/simd.h"

// Resampling to another size on channels-last pictures. Which two positions an output blends, and how,
// depends on its row and on its column alone, so both are worked out once. Backward gathers: each input
// position adds up the outputs that read it, rows first, so that no two threads write to one place and the
// order of additions is fixed.
namespace anneal::cpu {

using namespace simd;

namespace {

// output = from[first] * (1 - share) + from[second] * share
template <typename C>
struct Blend {
    int64_t first, second;
    C share;
};

// An output that reads an input position, and with which weight.
template <typename C>
struct Reader {
    int64_t output;
    C weight;
};

// PyTorch's rules (aten/src/ATen/native/UpSample.h), in the precision it computes them in.
template <typename C>
std::vector<Blend<C>> blendsOf(int64_t input, int64_t output, const InterpolateOptions& options, int i) {
    std::vector<Blend<C>> blends(output);
    C step = options.scale[i] > 0 ? static_cast<C>(1 / options.scale[i])
                                  : static_cast<C>(input) / static_cast<C>(output);
    const bool aligned = options.linear && options.alignCorners;
    if (aligned) step = output > 1 ? static_cast<C>(input - 1) / static_cast<C>(output - 1) : C(0);
    for (int64_t o = 0; o < output; o++) {
        const C at = static_cast<C>(o);
        Blend<C>& blend = blends[o];
        if (!options.linear) {
            const auto source = static_cast<int64_t>(std::floor(static_cast<float>(at * step)));
            blend = {std::min(source, input - 1), 0, C(0)};
        } else if (input == output) {
            blend = {o, o, C(0)};
        } else {
            const C source = aligned ? at * step : std::max(step * (at + C(0.5)) - C(0.5), C(0));
            const int64_t first = std::min(static_cast<int64_t>(source), input - 1);
            const C share = std::min(std::max(source - static_cast<C>(first), C(0)), C(1));
            blend = {first, std::min(first + 1, input - 1), share};
        }
    }
    return blends;
}

// The readers of each input position in the order of the outputs; those of position p are [offsets[p],
// offsets[p + 1]).
template <typename C>
struct Readers {
    std::vector<Reader<C>> list;
    std::vector<int64_t> offsets;

    Readers(const std::vector<Blend<C>>& blends, int64_t input, bool linear) : offsets(input + 1) {
        const auto each = [&](const auto& body) {
            for (size_t o = 0; o < blends.size(); o++) {
                const Blend<C>& blend = blends[o];
                const auto output = static_cast<int64_t>(o);
                body(blend.first, Reader<C>{output, C(1) - blend.share});
                if (linear && blend.share != 0) body(blend.second, Reader<C>{output, blend.share});
            }
        };
        each([&](int64_t position, const Reader<C>&) { offsets[position + 1]++; });
        for (int64_t p = 0; p < input; p++) offsets[p + 1] += offsets[p];
        list.resize(offsets[input]);
        std::vector<int64_t> next(offsets.begin(), offsets.end() - 1);
        each([&](int64_t position, const Reader<C>& reader) { list[next[position]++] = reader; });
    }
};

struct Sizes {
    int64_t batch, channels, height, width;
    explicit Sizes(const View& view)
        : batch(view.sizes[0]), channels(view.sizes[1]), height(view.sizes[2]), width(view.sizes[3]) {}
};

int64_t rowGrain(const Sizes& s, int64_t work) {
    return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, s.width * s.channels * work));
}

// Copies, whatever the dtype.
void nearestForward(char* out, const char* input, const Sizes& to, const Sizes& from, size_t bytes,
                    const std::vector<Blend<float>>& rows, const std::vector<Blend<float>>& columns) {
    const auto pixel = static_cast<int64_t>(bytes) * from.channels;
    parallelFor(to.batch * to.height, rowGrain(to, 1), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const int64_t source = row / to.height * from.height + rows[row % to.height].first;
            const char* const line = input + source * from.width * pixel;
            char* const target = out + row * to.width * pixel;
            for (int64_t x = 0; x < to.width; x++) {
                std::memcpy(target + x * pixel, line + columns[x].first * pixel, static_cast<size_t>(pixel));
            }
        }
    });
}

template <typename T>
void linearForward(T* out, const T* input, const Sizes& to, const Sizes& from,
                   const InterpolateOptions& options) {
    using C = Compute<T>;
    const auto rows = blendsOf<C>(from.height, to.height, options, 0);
    const auto columns = blendsOf<C>(from.width, to.width, options, 1);
    const int64_t channels = from.channels, lineSize = from.width * channels;
    parallelFor(to.batch * to.height, rowGrain(to, 4), [&](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const Blend<C> high = rows[row % to.height];
            const T* const picture = input + row / to.height * from.height * lineSize;
            const T *const upper = picture + high.first * lineSize, *const lower =
                                                                        picture + high.second * lineSize;
            const C down = high.share, up = 1 - down;
            for (int64_t x = 0; x < to.width; x++) {
                const Blend<C> wide = columns[x];
                const int64_t left = wide.first * channels, right = wide.second * channels;
                const C rightward = wide.share, leftward = 1 - rightward;
                T* const target = out + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    const auto above =
                        load(upper + left + c, lanes) * leftward + load(upper + right + c, lanes) * rightward;
                    const auto below =
                        load(lower + left + c, lanes) * leftward + load(lower + right + c, lanes) * rightward;
                    store(target + c, above * up + below * down, lanes);
                });
            }
        }
    });
}

template <typename T>
void backward(T* gradInput, const T* gradOutput, const Sizes& to, const Sizes& from,
              const InterpolateOptions& options) {
    using C = Compute<T>;
    const Readers<C> rows(blendsOf<C>(to.height, from.height, options, 0), to.height, options.linear);
    const Readers<C> columns(blendsOf<C>(to.width, from.width, options, 1), to.width, options.linear);
    const int64_t channels = to.channels, lineSize = from.width * channels;
    const int64_t work = std::max<int64_t>(1, from.height * from.width / (to.height * to.width));
    parallelFor(to.batch * to.height, rowGrain(to, 2 * work), [&](int64_t begin, int64_t end) {
        std::vector<C> sums(lineSize);
        C* const line = sums.data();
        for (int64_t row = begin; row < end; row++) {
            const int64_t y = row % to.height;
            const T* const picture = gradOutput + row / to.height * from.height * lineSize;
            std::fill(sums.begin(), sums.end(), C(0));
            for (int64_t r = rows.offsets[y]; r < rows.offsets[y + 1]; r++) {
                const T* const source = picture + rows.list[r].output * lineSize;
                const C weight = rows.list[r].weight;
                forLanes<C>(lineSize, [=](int64_t i, auto lanes) {
                    store(line + i, load(line + i, lanes) + load(source + i, lanes) * weight, lanes);
                });
            }
            for (int64_t x = 0; x < to.width; x++) {
                const Reader<C>* const first = columns.list.data() + columns.offsets[x];
                const Reader<C>* const last = columns.list.data() + columns.offsets[x + 1];
                T* const target = gradInput + (row * to.width + x) * channels;
                forLanes<C>(channels, [=](int64_t c, auto lanes) {
                    Vector<C> sum = {};
                    for (const Reader<C>* reader = first; reader < last; reader++) {
                        sum += load(line + reader->output * channels + c, lanes) * reader->weight;
                    }
                    store(target + c, sum, lanes);
                });
            }
        }
    });
}

// Positions in the precision that the dtype computes in, cut to what copying needs.
template <typename C>
std::vector<Blend<float>> nearestOf(int64_t input, int64_t output, const InterpolateOptions& options, int i) {
    std::vector<Blend<float>> result;
    result.reserve(output);
    for (const Blend<C>& blend : blendsOf<C>(input, output, options, i))
        result.push_back({blend.first, 0, 0});
    return result;
}

}  // namespace

void interpolate2d(Context& context, const View& out, const View& input, const InterpolateOptions& options) {
    const Sizes to(out), from(input);
    if (!options.linear) {
        const DType dtype = out.dtype;
        char *const target = out.as<char>(), *const source = input.as<char>();
        context.enqueue("interpolate", [=] {
            const auto positions = [&](int64_t inSize, int64_t outSize, int i) {
                return dtype == DType::Float64 ? nearestOf<double>(inSize, outSize, options, i)
                                               : nearestOf<float>(inSize, outSize, options, i);
            };
            nearestForward(target, source, to, from, dtypeSize(dtype), positions(from.height, to.height, 0),
                           positions(from.width, to.width, 1));
        });
        return;
    }
    dispatchFloating(out.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* const target = out.as<T>();
        const T* const source = input.as<T>();
        context.enqueue("interpolate", [=] { linearForward(target, source, to, from, options); });
    });
}

void interpolate2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const InterpolateOptions& options) {
    const Sizes to(gradInput), from(gradOutput);
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        T* const target = gradInput.as<T>();
        const T* const source = gradOutput.as<T>();
        context.enqueue("interpolate backward", [=] { backward(target, source, to, from, options); });
    });
}

}  // namespace anneal::cpu
