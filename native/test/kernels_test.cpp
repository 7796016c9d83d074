#include <omp.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/ops.h"
#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

// Pooling, normalisation, softmax, losses and dropout below the TypeScript: what the kernels may not do
// whatever the sizes (these run under the sanitizers too), and results that must not depend on the number of
// threads.

namespace {

using namespace anneal;

Tensor random(Context& context, const Dims& sizes, DType dtype = DType::Float32) {
    Tensor result = context.empty(dtype, sizes);
    ops::normal_(context, result, 0, 1);
    return result;
}

Tensor labels(Context& context, int64_t count, int64_t classes) {
    Tensor result = context.empty(DType::Int64, Dims{count});
    ops::random_(context, result, 0, static_cast<double>(classes));
    return result;
}

void finish(Context& context) {
    context.stream().wait();
    context.stream().throwPendingError();
}

// The bytes of a tensor in the order of memory.
std::vector<char> bytesOf(Context& context, const Tensor& tensor) {
    finish(context);
    const char* const data = static_cast<const char*>(tensor.data());
    return std::vector<char>(data, data + tensor.bytes());
}

template <typename T>
T valueOf(Context& context, const Tensor& tensor) {
    finish(context);
    T value;
    std::memcpy(&value, tensor.data(), sizeof value);
    return value;
}

void setThreads(Context& context, int count) {
    context.enqueue("threads", [count] { omp_set_num_threads(count); });
}

// The results of every kernel that sums over chunks or splits its work.
std::vector<Tensor> runAll(Context& context, const Dims& sizes, DType dtype) {
    const std::optional<Tensor> none;
    const int64_t channels = sizes[1];
    const DType wide = dtype == DType::Float64 ? DType::Float64 : DType::Float32;
    std::vector<Tensor> results;
    const auto keep = [&](const TensorList& list) {
        results.insert(results.end(), list.begin(), list.end());
    };

    const Tensor x = random(context, sizes, dtype), residual = random(context, sizes, dtype);
    const Tensor weight = random(context, Dims{channels}, wide), bias = random(context, Dims{channels}, wide);
    const Tensor mean = random(context, Dims{channels}, wide);
    const Tensor variance = ops::exp(context, random(context, Dims{channels}, wide));
    for (const bool training : {true, false}) {
        for (const bool gated : {true, false}) {
            const std::optional<Tensor> extra = gated ? std::optional<Tensor>(residual) : none;
            const TensorList out =
                ops::batch_norm(context, x, weight, bias, mean, variance, extra, training, 0.1, 1e-5, true);
            const std::optional<Tensor> gate = gated ? std::optional<Tensor>(out[0]) : none;
            keep(out);
            for (const bool wantInput : {true, false}) {
                for (const bool wantParameters : {true, false}) {
                    keep(ops::batch_norm_backward(context, residual, x, gate, weight, bias, out[1], out[2],
                                                  training, true, wantInput, wantParameters));
                }
            }
        }
    }
    const TensorList grouped = ops::group_norm(context, x, channels % 2 == 0 ? 2 : 1, weight, none, 1e-5);
    keep(grouped);
    keep(ops::group_norm_backward(context, residual, x, channels % 2 == 0 ? 2 : 1, weight, grouped[1],
                                  grouped[2], true, true));
    const Dims last{sizes[2], sizes[3]};
    const Tensor layerWeight = random(context, last, wide);
    const TensorList layered = ops::layer_norm(context, x, last, layerWeight, none, 1e-5);
    keep(layered);
    keep(ops::layer_norm_backward(context, residual, x, last, layerWeight, layered[1], layered[2], true,
                                  true));

    const Dims two{2, 2}, three{3, 3}, one{1, 1};
    const TensorList pooled = ops::max_pool2d(context, x, three, two, one, one, false, true);
    keep(pooled);
    keep({ops::max_pool2d_backward(context, pooled[0], pooled[1], sizes, three, two, one, one)});
    const Tensor average = ops::avg_pool2d(context, x, three, two, one, true, false, std::nullopt);
    keep({average, ops::avg_pool2d_backward(context, average, sizes, three, two, one, false, std::nullopt)});
    const TensorList adaptive = ops::adaptive_max_pool2d(context, x, two, true);
    keep(adaptive);
    keep({ops::adaptive_max_pool2d_backward(context, adaptive[0], adaptive[1], sizes)});
    const Tensor small = ops::adaptive_avg_pool2d(context, x, three);
    keep({small, ops::adaptive_avg_pool2d_backward(context, small, sizes)});

    for (int dim = 0; dim < 4; dim++) {
        const Tensor soft = ops::softmax(context, x, dim), logSoft = ops::log_softmax(context, x, dim);
        keep({soft, logSoft, ops::softmax_backward(context, residual, soft, dim),
              ops::log_softmax_backward(context, residual, logSoft, dim)});
    }

    const int64_t rows = sizes[0] * sizes[2] * sizes[3];
    const Tensor scores =
        ops::reshape(context, ops::permute(context, x, Dims{0, 2, 3, 1}), Dims{rows, channels});
    const Tensor target = labels(context, rows, channels);
    const Tensor probabilities = ops::softmax(context, scores, 1);
    for (int64_t reduction = 0; reduction < 3; reduction++) {
        const Tensor upstream = random(context, reduction == 0 ? Dims{rows} : Dims{}, dtype);
        const Tensor elementwise = random(context, reduction == 0 ? Dims{rows, channels} : Dims{}, dtype);
        const TensorList hard = ops::cross_entropy(context, scores, target, weight, 1, 0.1, reduction);
        keep(hard);
        keep({ops::cross_entropy_backward(context, upstream, scores, target, weight, hard[1], hard[2], 1, 0.1,
                                          reduction)});
        const TensorList soft =
            ops::cross_entropy_soft(context, scores, probabilities, weight, 0.1, reduction);
        keep(soft);
        keep(ops::cross_entropy_soft_backward(context, upstream, scores, probabilities, weight, soft[1], 0.1,
                                              reduction, true, true));
        const TensorList nll = ops::nll_loss(context, scores, target, weight, -100, reduction);
        keep(nll);
        keep({ops::nll_loss_backward(context, upstream, scores, target, weight, nll[1], -100, reduction)});
        keep({ops::binary_cross_entropy_with_logits(context, scores, probabilities, none, none, reduction)});
        keep(ops::binary_cross_entropy_with_logits_backward(context, elementwise, scores, probabilities, none,
                                                            none, reduction, true, true));
        keep({ops::binary_cross_entropy(context, probabilities, probabilities, none, reduction)});
        keep(ops::binary_cross_entropy_backward(context, elementwise, probabilities, probabilities, none,
                                                reduction, true, true));
    }
    const TensorList dropped = ops::dropout(context, x, 0.3);
    keep(dropped);
    keep({ops::dropout_backward(context, residual, dropped[1], 0.3)});
    finish(context);
    return results;
}

}  // namespace

TEST("kernels: the same bits with one thread and with several") {
    for (const DType dtype : {DType::Float32, DType::BFloat16}) {
        std::vector<std::vector<char>> expected;
        for (const int threads : {1, 2, 3}) {
            Context context;
            setThreads(context, threads);
            const std::vector<Tensor> results = runAll(context, Dims{5, 38, 41, 37}, dtype);
            for (size_t i = 0; i < results.size(); i++) {
                const std::vector<char> bytes = bytesOf(context, results[i]);
                if (threads == 1) {
                    expected.push_back(bytes);
                } else if (bytes != expected[i]) {
                    anneal::test::failCheck(__FILE__, __LINE__, "result ", i, " of ", dtypeName(dtype),
                                            " differs with ", threads, " threads");
                }
            }
        }
    }
}

TEST("kernels: sizes around the length of a vector, in every precision") {
    Context context;
    for (const DType dtype : {DType::Float32, DType::Float64, DType::BFloat16, DType::Float16}) {
        for (const int64_t channels : {1, 2, 7, 8, 9, 15, 16, 17, 33}) {
            for (const Tensor& result : runAll(context, Dims{2, channels, 3, 5}, dtype)) {
                if (!isFloating(result.dtype())) continue;
                const Tensor finite = ops::all(context, ops::isfinite(context, result), Dims{}, false);
                CHECK(valueOf<bool>(context, finite));
            }
        }
    }
}

TEST("kernels: a label out of range is an error at the next read, and nothing is followed out of bounds") {
    Context context;
    const Tensor scores = random(context, Dims{4, 3});
    const Tensor wrong = ops::full(context, Dims{4}, 1e15, DType::Int64);
    const TensorList loss = ops::cross_entropy(context, scores, wrong, std::nullopt, -100, 0, 1);
    const Tensor upstream = ops::full(context, Dims{}, 1, DType::Float32);
    ops::cross_entropy_backward(context, upstream, scores, wrong, std::nullopt, loss[1], loss[2], -100, 0, 1);
    CHECK_THROWS(finish(context),
                 "crossEntropy: label 1000000000000000 at position [0] is out of range for 3 classes");
    const TensorList nll = ops::nll_loss(context, scores, wrong, std::nullopt, -100, 1);
    ops::nll_loss_backward(context, upstream, scores, wrong, std::nullopt, nll[1], -100, 1);
    CHECK_THROWS(finish(context), "nllLoss: label");
    const Tensor right = ops::full(context, Dims{4}, 2, DType::Int64);
    const Tensor even = ops::full(context, Dims{4, 3}, 5, DType::Float32);
    CHECK_CLOSE(
        valueOf<float>(context, ops::cross_entropy(context, even, right, std::nullopt, -100, 0, 1)[0]),
        std::log(3.0), 1e-6);
}

TEST("kernels: the residual's gradient is there when it is the only one wanted") {
    Context context;
    for (const bool training : {true, false}) {
        const Tensor x = random(context, Dims{6, 5}), residual = random(context, Dims{6, 5});
        const Tensor mean = random(context, Dims{5}),
                     variance = ops::full(context, Dims{5}, 2, DType::Float32);
        const std::optional<Tensor> none;
        const TensorList out =
            ops::batch_norm(context, x, none, none, mean, variance, residual, training, 0.1, 1e-5, true);
        const Tensor ones = ops::full(context, Dims{6, 5}, 1, DType::Float32);
        const TensorList gradients = ops::batch_norm_backward(context, ones, x, out[0], none, none, out[1],
                                                              out[2], training, true, false, false);
        CHECK_EQUAL(gradients.size(), size_t{1});
        const Tensor open =
            ops::to_dtype(context, ops::gt(context, {out[0]}, {std::nullopt, 0.0}), DType::Float32);
        CHECK(bytesOf(context, gradients[0]) == bytesOf(context, open));
    }
}
