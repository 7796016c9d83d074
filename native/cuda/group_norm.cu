// Group normalisation of rows of channels: the channels of each picture in groups, each by its own mean and
// variance. Sums are taken for each channel, which the memory's order asks for, and then joined to groups.
#include <cmath>

#include "cuda/columns.h"
#include "cuda/split.h"

namespace anneal::cuda {

namespace {

struct Groups {
    int64_t pictures, channels, count, size,
        rows;  // `size` channels in each of `count` groups, `rows` a picture
    Groups(const View& input, int64_t groups)
        : pictures(input.sizes[0]),
          channels(input.sizes[1]),
          count(groups),
          size(channels / groups),
          rows(input.numel() / (pictures * channels)) {}
    int64_t cells() const { return pictures * count; }
};

template <typename T>
struct AddMoments {
    const T* input;
    int64_t rows, channels;

    // Within a run of rows the deviations from its first value: nothing cancels.
    __device__ void operator()(Moments& moments, int64_t picture, int64_t channel, int64_t first, int64_t end,
                               int64_t step) const {
        using C = Compute<T>;
        const T* const x = input + picture * rows * channels + channel;
        C shift = 0, sum = 0, squares = 0;
        int count = 0;
        forRowsOfSlice(
            first, end, step,
            [&](int64_t row) {
                const C value = toCompute(x[row * channels]);
                if (count == 0) shift = value;
                sum += value - shift;
                squares += (value - shift) * (value - shift);
                count++;
            },
            [&] {
                const double total = static_cast<double>(sum), mean = total / count;
                const double within = static_cast<double>(squares) - total * mean;
                Moments run;
                run.count = count;
                run.mean = static_cast<double>(shift) + mean;
                run.squares = within < 0 ? 0 : within;  // a NaN stays
                moments.merge(run);
                sum = squares = 0;
                count = 0;
            });
    }
};

template <typename State>
Grid joinGrid(const Groups& groups, int parts) {
    const int threads = joinThreads(parts * groups.size);
    return blocksFor(groups.cells(), threads, static_cast<size_t>(threads) * sizeof(State));
}

// A block for each group of each picture joins what parts and channels have found.
template <typename C>
__global__ void groupStatistics(C* mean, C* inverseDeviation, const Moments* found, Groups groups, int parts,
                                double epsilon) {
    Moments* const scratch = sharedMemory<Moments>();
    for (int64_t cell = blockIdx.x; cell < groups.pictures * groups.count; cell += gridDim.x) {
        const int64_t picture = cell / groups.count, channel = cell % groups.count * groups.size;
        Moments moments;
        for (int64_t i = threadIdx.x; i < parts * groups.size; i += blockDim.x)
            moments.merge(
                found[(picture * parts + i / groups.size) * groups.channels + channel + i % groups.size]);
        moments = joinStates(moments, scratch);
        if (threadIdx.x == 0) {
            mean[cell] = static_cast<C>(moments.mean);
            inverseDeviation[cell] = static_cast<C>(1 / std::sqrt(moments.squares / moments.count + epsilon));
        }
    }
}

// Where the packs of the elementwise passes lie.
struct GroupWalk {
    int64_t packs;
    Split inRow, inPicture, group;
    int64_t groups;

    GroupWalk(const Groups& g, int kPack)
        : packs(g.pictures * g.rows * g.channels / kPack),
          inRow(g.channels / kPack, packs),
          inPicture(g.rows * g.channels / kPack, packs),
          group(g.size, g.channels),
          groups(g.count) {}
    // The first channel of pack i, and the first group of its picture.
    __device__ void place(int64_t i, int kPack, int64_t& channel, int64_t& firstGroup) const {
        channel = inRow.remainder(i) * kPack;
        firstGroup = inPicture.quotient(i) * groups;
    }
};

template <int kPack, typename T>
__global__ void normalizeGroups(T* out, const T* input, const Compute<T>* mean,
                                const Compute<T>* inverseDeviation, const Compute<T>* weight,
                                const Compute<T>* bias, GroupWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.packs; i += globalThreads()) {
        int64_t channel, first;
        walk.place(i, kPack, channel, first);
        C values[kPack], weights[kPack], biases[kPack];
        loadPack(input + i * kPack, values);
        loadPackOr<kPack>(weight, channel, C(1), weights);
        loadPackOr<kPack>(bias, channel, C(0), biases);
#pragma unroll
        for (int k = 0; k < kPack; k++) {
            const int64_t cell = first + walk.group.quotient(channel + k);
            values[k] = (values[k] - mean[cell]) * (inverseDeviation[cell] * weights[k]) + biases[k];
        }
        storePack(out + i * kPack, values);
    }
}

// --- backward

// Sums of the gradient, and of its product with the input's distance from the group's mean.
template <typename T>
struct AddGroupGradients {
    const T *gradient, *input;
    const Compute<T>* mean;
    Groups groups;

    __device__ void operator()(PairOfSums& sums, int64_t picture, int64_t channel, int64_t first, int64_t end,
                               int64_t step) const {
        using C = Compute<T>;
        const int64_t base = picture * groups.rows * groups.channels + channel;
        const C centre = mean[picture * groups.count + channel / groups.size];
        C sum = 0, product = 0;
        forRowsOfSlice(
            first, end, step,
            [&](int64_t row) {
                const C g = toCompute(gradient[base + row * groups.channels]);
                sum += g;
                product += g * (toCompute(input[base + row * groups.channels]) - centre);
            },
            [&] {
                sums.first += static_cast<double>(sum);
                sums.second += static_cast<double>(product);
                sum = product = 0;
            });
    }
};

// The same over pictures, from the sums of [picture, part, channel]: products in units of the deviation.
template <typename C>
struct AddPictures {
    const PairOfSums* found;
    const C* inverseDeviation;
    Groups groups;
    int parts;

    __device__ void operator()(PairOfSums& sums, int64_t, int64_t channel, int64_t first, int64_t end,
                               int64_t step) const {
        for (int64_t row = first; row < end; row += step) {
            const PairOfSums part = found[row * groups.channels + channel];
            const int64_t cell = row / parts * groups.count + channel / groups.size;
            sums.first += part.first;
            sums.second += part.second * static_cast<double>(inverseDeviation[cell]);
        }
    }
};

template <typename C>
__global__ void storeGroupParameters(C* gradWeight, C* gradBias, const PairOfSums* sums, int parts,
                                     int64_t channels) {
    for (int64_t c = globalThread(); c < channels; c += globalThreads()) {
        PairOfSums total;
        for (int part = 0; part < parts; part++) total.merge(sums[part * channels + c]);
        gradBias[c] = static_cast<C>(total.first);
        gradWeight[c] = static_cast<C>(total.second);
    }
}

// What each group's gradient loses: its mean, and its slope along the input.
template <typename C>
__global__ void groupGradients(C* offset, C* slope, const PairOfSums* found, const C* weight,
                               const C* inverseDeviation, Groups groups, int parts) {
    PairOfSums* const scratch = sharedMemory<PairOfSums>();
    const double scale = 1 / static_cast<double>(groups.rows * groups.size);
    for (int64_t cell = blockIdx.x; cell < groups.pictures * groups.count; cell += gridDim.x) {
        const int64_t picture = cell / groups.count, channel = cell % groups.count * groups.size;
        PairOfSums sums;
        for (int64_t i = threadIdx.x; i < parts * groups.size; i += blockDim.x) {
            const int64_t c = channel + i % groups.size;
            const PairOfSums part = found[(picture * parts + i / groups.size) * groups.channels + c];
            const double gain = weight ? static_cast<double>(weight[c]) : 1.0;
            sums.first += part.first * gain;
            sums.second += part.second * gain;
        }
        sums = joinStates(sums, scratch);
        if (threadIdx.x == 0) {
            const double inverse = static_cast<double>(inverseDeviation[cell]);
            offset[cell] = static_cast<C>(sums.first * scale);
            slope[cell] = static_cast<C>(sums.second * scale * inverse * inverse);
        }
    }
}

template <int kPack, typename T>
__global__ void groupInputGradient(T* gradInput, const T* gradient, const T* input, const Compute<T>* mean,
                                   const Compute<T>* inverseDeviation, const Compute<T>* weight,
                                   const Compute<T>* offset, const Compute<T>* slope, GroupWalk walk) {
    using C = Compute<T>;
    for (int64_t i = globalThread(); i < walk.packs; i += globalThreads()) {
        int64_t channel, first;
        walk.place(i, kPack, channel, first);
        C gs[kPack], xs[kPack], weights[kPack];
        loadPack(gradient + i * kPack, gs);
        loadPack(input + i * kPack, xs);
        loadPackOr<kPack>(weight, channel, C(1), weights);
#pragma unroll
        for (int k = 0; k < kPack; k++) {
            const int64_t cell = first + walk.group.quotient(channel + k);
            gs[k] = ((gs[k] * weights[k] - offset[cell]) - (xs[k] - mean[cell]) * slope[cell]) *
                    inverseDeviation[cell];
        }
        storePack(gradInput + i * kPack, gs);
    }
}

}  // namespace

void groupNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, int64_t groupCount, double epsilon) {
    const Groups groups(input, groupCount);
    const ColumnPlan columns(groups.pictures, groups.rows, groups.channels);
    const Tensor scratch = context.scratch(static_cast<size_t>(columns.states()) * sizeof(Moments));
    auto* const found = static_cast<Moments*>(scratch.data());
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C *const w = dataOf<const C>(weight), *const b = dataOf<const C>(bias);
        submit(context, "groupNorm", [=](CudaRuntime& runtime) {
            launchTogether(sumColumns<Moments, AddMoments<T>>, columns.grid(sizeof(Moments)),
                           runtime.stream(), found, columns,
                           AddMoments<T>{input.as<const T>(), groups.rows, groups.channels});
            launchTogether(groupStatistics<C>, joinGrid<Moments>(groups, columns.parts), runtime.stream(),
                           mean.as<C>(), inverseDeviation.as<C>(), static_cast<const Moments*>(found), groups,
                           columns.parts, epsilon);
            withPacks<T>(groups.channels, {out.data, input.data, w, b}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const GroupWalk walk(groups, kPack);
                launch(normalizeGroups<kPack, T>, gridFor(walk.packs), runtime.stream(), out.as<T>(),
                       input.as<const T>(), mean.as<const C>(), inverseDeviation.as<const C>(), w, b, walk);
            });
        });
    });
}

void groupNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation, int64_t groupCount) {
    const Groups groups(input, groupCount);
    const ColumnPlan columns(groups.pictures, groups.rows, groups.channels);
    const ColumnPlan pictures(1, groups.pictures * columns.parts, groups.channels);
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const toInput = dataOf<T>(gradInput);
        C *const toWeight = dataOf<C>(gradWeight), *const toBias = dataOf<C>(gradBias);
        const C* const w = dataOf<const C>(weight);
        const T *const g = gradient.as<const T>(), *const x = input.as<const T>();
        const C *const means = mean.as<const C>(), *const inverses = inverseDeviation.as<const C>();
        const Tensor scratch =
            context.scratch(static_cast<size_t>(columns.states() + pictures.states()) * sizeof(PairOfSums) +
                            static_cast<size_t>(groups.cells()) * 2 * sizeof(C));
        auto* const found = static_cast<PairOfSums*>(scratch.data());
        PairOfSums* const overPictures = found + columns.states();
        C *const offset = reinterpret_cast<C*>(overPictures + pictures.states()), *const slope =
                                                                                      offset + groups.cells();
        submit(context, "groupNorm backward", [=](CudaRuntime& runtime) {
            const cudaStream_t stream = runtime.stream();
            const PairOfSums* const sums = found;
            launchTogether(sumColumns<PairOfSums, AddGroupGradients<T>>, columns.grid(sizeof(PairOfSums)),
                           stream, found, columns, AddGroupGradients<T>{g, x, means, groups});
            if (toWeight) {
                launchTogether(sumColumns<PairOfSums, AddPictures<C>>, pictures.grid(sizeof(PairOfSums)),
                               stream, overPictures, pictures,
                               AddPictures<C>{sums, inverses, groups, columns.parts});
                launch(storeGroupParameters<C>, gridFor(groups.channels), stream, toWeight, toBias,
                       static_cast<const PairOfSums*>(overPictures), pictures.parts, groups.channels);
            }
            if (!toInput) return;
            launchTogether(groupGradients<C>, joinGrid<PairOfSums>(groups, columns.parts), stream, offset,
                           slope, sums, w, inverses, groups, columns.parts);
            withPacks<T>(groups.channels, {toInput, g, x, w}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const GroupWalk walk(groups, kPack);
                launch(groupInputGradient<kPack, T>, gridFor(walk.packs), stream, toInput, g, x, means,
                       inverses, w, static_cast<const C*>(offset), static_cast<const C*>(slope), walk);
            });
        });
    });
}

}  // namespace anneal::cuda
