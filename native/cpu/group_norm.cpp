#include <cmath>

#include "cpu/kernels.h"
#include "cpu/rows.h"

// Group normalisation of rows of channels: the channels of each picture in groups, each by its own mean and
// variance. Sums are taken for each channel, which the memory's order asks for, and then joined to groups.
namespace anneal::cpu {

using namespace simd;

namespace {

struct Groups {
    int64_t pictures, channels, count, size,
        rows;  // `size` channels in each of `count` groups, `rows` in all
    Groups(const View& input, int64_t groups)
        : pictures(input.sizes[0]),
          channels(input.sizes[1]),
          count(groups),
          size(channels / groups),
          rows(channels > 0 ? input.numel() / channels : 0) {}
    int64_t rowsEach() const { return pictures > 0 ? rows / pictures : 0; }
};

// Mean and inverse deviation of every group from the chunks' sums for each channel.
template <typename C>
void combineGroups(const Groups& groups, const Chunks& chunks, const ChunkSums& sums, const C* shifts,
                   double epsilon, C* mean, C* inverseDeviation) {
    const double count = static_cast<double>(groups.rowsEach() * groups.size);
    for (int64_t i = 0; i < groups.pictures * groups.count; i++) {
        const int64_t picture = i / groups.count, channel = i % groups.count * groups.size;
        const auto forParts = [&](const auto& body) {
            for (int64_t part = 0; part < chunks.perSegment; part++) {
                const int64_t chunk = picture * chunks.perSegment + part;
                const auto rows = static_cast<double>(chunks.size(chunk));
                for (int64_t c = channel; c < channel + groups.size; c++) {
                    body(rows, shifts[chunk * groups.channels + c], sums.first(chunk)[c],
                         sums.second(chunk)[c]);
                }
            }
        };
        double total = 0, spread = 0;
        forParts([&](double rows, double shift, double sum, double) { total += rows * shift + sum; });
        const double centre = total / count;
        forParts([&](double rows, double shift, double sum, double square) {
            const double partMean = sum / rows, apart = shift + partMean - centre;
            const double within = square - sum * partMean;
            spread += (within < 0 ? 0 : within) + rows * apart * apart;
        });
        mean[i] = static_cast<C>(centre);
        inverseDeviation[i] = static_cast<C>(1 / std::sqrt(spread / count + epsilon));
    }
}

}  // namespace

void groupNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, int64_t groupCount, double epsilon) {
    const Groups groups(input, groupCount);
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const y = out.as<T>();
        const T* const x = input.as<T>();
        C *const means = mean.as<C>(), *const inverses = inverseDeviation.as<C>();
        const C *const w = dataOf<C>(weight), *const b = dataOf<C>(bias);
        const int64_t channels = groups.channels;
        const Chunks chunks(groups.rows, channels * sizeof(T), groups.pictures);
        const size_t sumBytes = ChunkSums::bytes(chunks, channels);
        const Tensor scratch =
            context.scratch(sumBytes + (chunks.count + 3 * groups.pictures) * channels * sizeof(C));
        const ChunkSums sums{static_cast<double*>(scratch.data()), channels};
        C* const shifts = reinterpret_cast<C*>(static_cast<char*>(scratch.data()) + sumBytes);
        context.enqueue("groupNorm", [=] {
            sumSquares(x, chunks, sums, shifts);
            combineGroups(groups, chunks, sums, shifts, epsilon, means, inverses);
            // Spread over the channels of every picture, so that the pass over the rows knows nothing of
            // groups.
            C *const centre = shifts + chunks.count * channels, *const scale =
                                                                    centre + groups.pictures * channels;
            C* const offset = scale + groups.pictures * channels;
            for (int64_t i = 0; i < groups.pictures * channels; i++) {
                const int64_t c = i % channels, group = i / channels * groups.count + c / groups.size;
                centre[i] = means[group];
                scale[i] = w ? inverses[group] * w[c] : inverses[group];
                offset[i] = b ? b[c] : C(0);
            }
            parallelFor(chunks.count, 1, [=](int64_t first, int64_t last) {
                for (int64_t chunk = first; chunk < last; chunk++) {
                    const int64_t start = chunks.segment(chunk) * channels;
                    forRows<4>(chunks.begin(chunk), chunks.end(chunk), [=](int64_t row, auto count) {
                        forLanes<C>(channels, [=](int64_t c, auto lanes) {
                            const auto m = load(centre + start + c, lanes),
                                       s = load(scale + start + c, lanes);
                            const auto o = load(offset + start + c, lanes);
                            for (int u = 0; u < count; u++) {
                                const int64_t at = (row + u) * channels + c;
                                store(y + at, (load(x + at, lanes) - m) * s + o, lanes);
                            }
                        });
                    });
                }
            });
        });
    });
}

void groupNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation, int64_t groupCount) {
    const Groups groups(input, groupCount);
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const toInput = dataOf<T>(gradInput);
        C *const toWeight = dataOf<C>(gradWeight), *const toBias = dataOf<C>(gradBias);
        const T *const g = gradient.as<T>(), *const x = input.as<T>();
        const C *const w = dataOf<C>(weight), *const means = mean.as<C>(),
                       *const inverses = inverseDeviation.as<C>();
        const int64_t channels = groups.channels, cells = groups.pictures * channels;
        const Chunks chunks(groups.rows, channels * sizeof(T), groups.pictures);
        const size_t sumBytes = ChunkSums::bytes(chunks, channels);
        const Tensor scratch = context.scratch(sumBytes + cells * (2 * sizeof(double) + 5 * sizeof(C)));
        const ChunkSums sums{static_cast<double*>(scratch.data()), channels};
        auto* const totals = reinterpret_cast<double*>(static_cast<char*>(scratch.data()) + sumBytes);
        C* const centre = reinterpret_cast<C*>(totals + 2 * cells);
        context.enqueue("groupNorm backward", [=] {
            C *const gain = centre + cells, *const inverse = gain + cells;
            C *const slope = inverse + cells, *const offset = slope + cells;
            for (int64_t i = 0; i < cells; i++) {
                const int64_t group = i / channels * groups.count + i % channels / groups.size;
                centre[i] = means[group];
                inverse[i] = inverses[group];
                gain[i] = w ? w[i % channels] : C(1);
            }
            const auto nothing = [](int64_t, int64_t, int64_t) {};
            sumRows<C, 4>(chunks, sums, nothing,
                          [=](int64_t chunk, int64_t row, auto count, C* sum, C* product) {
                              const C* const m = centre + chunks.segment(chunk) * channels;
                              forLanes<C>(channels, [=](int64_t c, auto lanes) {
                                  const auto middle = load(m + c, lanes);
                                  auto s = load(sum + c, lanes), p = load(product + c, lanes);
                                  for (int u = 0; u < count; u++) {
                                      const int64_t at = (row + u) * channels + c;
                                      const auto value = load(g + at, lanes);
                                      s += value;
                                      p += value * (load(x + at, lanes) - middle);
                                  }
                                  store(sum + c, s, lanes);
                                  store(product + c, p, lanes);
                              });
                          });
            double *const sum = totals, *const product = totals + cells;
            for (int64_t i = 0; i < cells; i++) {
                sum[i] = product[i] = 0;
                for (int64_t part = 0; part < chunks.perSegment; part++) {
                    const int64_t chunk = i / channels * chunks.perSegment + part;
                    sum[i] += sums.first(chunk)[i % channels];
                    product[i] += sums.second(chunk)[i % channels];
                }
            }
            for (int64_t c = 0; toWeight && c < channels; c++) {
                double ofWeight = 0, ofBias = 0;
                for (int64_t i = c; i < cells; i += channels) {
                    ofWeight += product[i] * inverse[i];
                    ofBias += sum[i];
                }
                toWeight[c] = static_cast<C>(ofWeight);
                toBias[c] = static_cast<C>(ofBias);
            }
            if (!toInput) return;
            const double scale = 1 / static_cast<double>(groups.rowsEach() * groups.size);
            for (int64_t first = 0; first < cells; first += groups.size) {
                double groupSum = 0, groupProduct = 0;
                for (int64_t i = first; i < first + groups.size; i++) {
                    groupSum += sum[i] * gain[i];
                    groupProduct += product[i] * gain[i];
                }
                const double deviation = inverse[first];
                for (int64_t i = first; i < first + groups.size; i++) {
                    offset[i] = static_cast<C>(groupSum * scale);
                    slope[i] = static_cast<C>(groupProduct * scale * deviation * deviation);
                }
            }
            parallelFor(chunks.count, 1, [=](int64_t firstChunk, int64_t lastChunk) {
                for (int64_t chunk = firstChunk; chunk < lastChunk; chunk++) {
                    const int64_t start = chunks.segment(chunk) * channels;
                    forRows<4>(chunks.begin(chunk), chunks.end(chunk), [=](int64_t row, auto count) {
                        forLanes<C>(channels, [=](int64_t c, auto lanes) {
                            const int64_t cell = start + c;
                            const auto m = load(centre + cell, lanes), k = load(gain + cell, lanes);
                            const auto r = load(inverse + cell, lanes), p = load(slope + cell, lanes);
                            const auto q = load(offset + cell, lanes);
                            for (int u = 0; u < count; u++) {
                                const int64_t at = (row + u) * channels + c;
                                const auto value =
                                    (load(g + at, lanes) * k - q) - (load(x + at, lanes) - m) * p;
                                store(toInput + at, value * r, lanes);
                            }
                        });
                    });
                }
            });
        });
    });
}

}  // namespace anneal::cpu
