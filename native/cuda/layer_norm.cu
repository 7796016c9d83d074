// Layer normalisation: every row of [rows, size] by its own mean and variance. A team of threads takes each
// row; the gradients of the parameters are sums down the columns.
#include <cmath>

#include "cuda/columns.h"

namespace anneal::cuda {

namespace {

template <typename Team, int kPack, typename T>
__global__ void layerNormRows(T* out, Compute<T>* mean, Compute<T>* inverseDeviation, const T* input,
                              const Compute<T>* weight, const Compute<T>* bias, int64_t rows, int64_t size,
                              int width, Compute<T> epsilon) {
    using C = Compute<T>;
    const C scale = 1 / static_cast<C>(size);
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T* const x = input + row * size;
        C sum = 0, squares = 0;
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack];
            loadPack(x + i, values);
#pragma unroll
            for (int k = 0; k < kPack; k++) sum += values[k];
        });
        const C m = sumOverTeam(team, sum) * scale;
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack];
            loadPack(x + i, values);
#pragma unroll
            for (int k = 0; k < kPack; k++) squares += (values[k] - m) * (values[k] - m);
        });
        const C variance = sumOverTeam(team, squares) * scale;
        const C inverse = 1 / std::sqrt(variance + epsilon);
        if (team.active && team.rank == 0) {
            mean[row] = m;
            inverseDeviation[row] = inverse;
        }
        forPacks<kPack>(team, [&](int64_t i) {
            C values[kPack], weights[kPack], biases[kPack];
            loadPack(x + i, values);
            loadPackOr<kPack>(weight, i, C(1), weights);
            loadPackOr<kPack>(bias, i, C(0), biases);
#pragma unroll
            for (int k = 0; k < kPack; k++) values[k] = (values[k] - m) * inverse * weights[k] + biases[k];
            storePack(out + row * size + i, values);
        });
    });
}

template <typename Team, int kPack, typename T>
__global__ void layerNormBackwardRows(T* gradInput, const T* gradient, const T* input,
                                      const Compute<T>* weight, const Compute<T>* mean,
                                      const Compute<T>* inverseDeviation, int64_t rows, int64_t size,
                                      int width) {
    using C = Compute<T>;
    const C scale = 1 / static_cast<C>(size);
    forEachRow<Team>(rows, size, width, [&](const Team& team, int64_t row) {
        const T *const g = gradient + row * size, *const x = input + row * size;
        const C m = team.active ? mean[row] : C(0), inverse = team.active ? inverseDeviation[row] : C(0);
        C sum = 0, product = 0;
        const auto load = [&](int64_t i, C(&gs)[kPack], C(&xs)[kPack]) {
            C weights[kPack];
            loadPack(g + i, gs);
            loadPack(x + i, xs);
            loadPackOr<kPack>(weight, i, C(1), weights);
#pragma unroll
            for (int k = 0; k < kPack; k++) {
                gs[k] *= weights[k];
                xs[k] -= m;
            }
        };
        forPacks<kPack>(team, [&](int64_t i) {
            C gs[kPack], xs[kPack];
            load(i, gs, xs);
#pragma unroll
            for (int k = 0; k < kPack; k++) {
                sum += gs[k];
                product += gs[k] * xs[k];
            }
        });
        sum = sumOverTeam(team, sum) * scale;
        product = sumOverTeam(team, product) * scale * inverse * inverse;
        forPacks<kPack>(team, [&](int64_t i) {
            C gs[kPack], xs[kPack];
            load(i, gs, xs);
#pragma unroll
            for (int k = 0; k < kPack; k++) gs[k] = (gs[k] - sum - xs[k] * product) * inverse;
            storePack(gradInput + row * size + i, gs);
        });
    });
}

// Sums of the gradient, and of its product with the normalised input.
template <typename T>
struct AddParameters {
    const T *gradient, *input;
    const Compute<T>*mean, *inverseDeviation;
    int64_t size;

    __device__ void operator()(PairOfSums& sums, int64_t, int64_t column, int64_t first, int64_t end,
                               int64_t step) const {
        using C = Compute<T>;
        C sum = 0, product = 0;
        forRowsOfSlice(
            first, end, step,
            [&](int64_t row) {
                const C g = toCompute(gradient[row * size + column]);
                sum += g;
                product += g * ((toCompute(input[row * size + column]) - mean[row]) * inverseDeviation[row]);
            },
            [&] {
                sums.first += static_cast<double>(sum);
                sums.second += static_cast<double>(product);
                sum = product = 0;
            });
    }
};

template <typename C>
__global__ void storeParameters(C* gradWeight, C* gradBias, const PairOfSums* sums, int parts, int64_t size) {
    for (int64_t i = globalThread(); i < size; i += globalThreads()) {
        PairOfSums total;
        for (int part = 0; part < parts; part++) total.merge(sums[part * size + i]);
        gradBias[i] = static_cast<C>(total.first);
        gradWeight[i] = static_cast<C>(total.second);
    }
}

}  // namespace

void layerNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, double epsilon) {
    const int64_t rows = input.sizes[0], size = input.sizes[1];
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        const C *const w = dataOf<const C>(weight), *const b = dataOf<const C>(bias);
        submit(context, "layerNorm", [=](CudaRuntime& runtime) {
            withPacks<T>(size, {out.data, input.data, w, b}, [&](auto pack) {
                constexpr int kPack = decltype(pack)::value;
                const RowPlan plan(rows, size / kPack);
                withTeam(plan, [&](auto team) {
                    using Team = typename decltype(team)::type;
                    launchTogether(layerNormRows<Team, kPack, T>, plan.grid, runtime.stream(), out.as<T>(),
                                   mean.as<C>(), inverseDeviation.as<C>(), input.as<const T>(), w, b, rows,
                                   size, plan.width, static_cast<C>(epsilon));
                });
            });
        });
    });
}

void layerNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation) {
    const int64_t rows = input.sizes[0], size = input.sizes[1];
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        T* const toInput = dataOf<T>(gradInput);
        C *const toWeight = dataOf<C>(gradWeight), *const toBias = dataOf<C>(gradBias);
        const C* const w = dataOf<const C>(weight);
        const T *const g = gradient.as<const T>(), *const x = input.as<const T>();
        const C *const means = mean.as<const C>(), *const inverses = inverseDeviation.as<const C>();
        const ColumnPlan columns(1, rows, size);
        const Tensor scratch =
            context.scratch(toWeight ? static_cast<size_t>(columns.states()) * sizeof(PairOfSums) : 0);
        auto* const sums = static_cast<PairOfSums*>(scratch.data());
        submit(context, "layerNorm backward", [=](CudaRuntime& runtime) {
            if (toInput) {
                withPacks<T>(size, {toInput, g, x, w}, [&](auto pack) {
                    constexpr int kPack = decltype(pack)::value;
                    const RowPlan plan(rows, size / kPack);
                    withTeam(plan, [&](auto team) {
                        using Team = typename decltype(team)::type;
                        launchTogether(layerNormBackwardRows<Team, kPack, T>, plan.grid, runtime.stream(),
                                       toInput, g, x, w, means, inverses, rows, size, plan.width);
                    });
                });
            }
            if (!toWeight) return;
            launchTogether(sumColumns<PairOfSums, AddParameters<T>>, columns.grid(sizeof(PairOfSums)),
                           runtime.stream(), sums, columns, AddParameters<T>{g, x, means, inverses, size});
            launch(storeParameters<C>, gridFor(size), runtime.stream(), toWeight, toBias,
                   static_cast<const PairOfSums*>(sums), columns.parts, size);
        });
    });
}

}  // namespace anneal::cuda
