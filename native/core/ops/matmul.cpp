// Matrix products.
#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::ops {

namespace {

// gemm reads a matrix whose rows or columns lie together; anything else is copied first.
Tensor gemmReady(Context& context, const Tensor& input) {
    const int rows = input.dims() - 2, columns = input.dims() - 1;
    const bool together = (input.strides()[columns] == 1 &&
                           (input.size(rows) == 1 || input.strides()[rows] >= input.size(columns))) ||
                          (input.strides()[rows] == 1 &&
                           (input.size(columns) == 1 || input.strides()[columns] >= input.size(rows)));
    return together ? input : contiguous(context, input);
}

void requireSameDType(const char* op, const Tensor& a, const Tensor& b) {
    CHECK_DTYPE(a.dtype() == b.dtype(), op, ": expected two tensors of one dtype, got ", describe(a), " and ",
                describe(b));
    CHECK_DTYPE(a.dtype() != DType::Bool, op, ": bool tensors cannot be multiplied as matrices");
}

}  // namespace

// torch.matmul: vectors count as a row on the left and a column on the right; leading dimensions broadcast.
Tensor matmul(Context& context, const Tensor& left, const Tensor& right) {
    requireSameDType("matmul", left, right);
    CHECK_SHAPE(left.dims() > 0 && right.dims() > 0,
                "matmul: both operands need at least one dimension, got ", left.sizes().toString(), " and ",
                right.sizes().toString());
    Tensor a = left.dims() == 1 ? unsqueeze(context, left, 0) : left;
    Tensor b = right.dims() == 1 ? unsqueeze(context, right, 1) : right;
    const int64_t m = a.size(a.dims() - 2), k = a.size(a.dims() - 1), n = b.size(b.dims() - 1);
    CHECK_SHAPE(b.size(b.dims() - 2) == k, "matmul: shapes ", left.sizes().toString(), " and ",
                right.sizes().toString(), " do not fit: ", k, " columns against ", b.size(b.dims() - 2),
                " rows");
    a = gemmReady(context, a);
    b = gemmReady(context, b);

    // A stack of matrices times one matrix is one tall product.
    if (b.dims() == 2 && a.dims() > 2 && a.isContiguous()) {
        const Tensor tall =
            matmul(context, a.window(Dims{a.numel() / std::max<int64_t>(k, 1), k}, Dims{k, 1}), b);
        Dims sizes = left.sizes();
        sizes[sizes.size() - 1] = n;
        if (k == 0) {
            return full(context, sizes, 0, a.dtype());
        }
        if (right.dims() == 1) sizes.erase(sizes.size() - 1);
        return tall.window(sizes, contiguousStrides(sizes));
    }

    // Nothing to broadcast: small networks call this often.
    if (left.dims() == 2 && right.dims() == 2) {
        Tensor out = context.empty(a.dtype(), Dims{m, n});
        context.kernels().matmul(context, out, a, b, nullptr);
        return out;
    }
    Dims batchA, batchB;
    for (int i = 0; i + 2 < a.dims(); i++) batchA.push(a.size(i));
    for (int i = 0; i + 2 < b.dims(); i++) batchB.push(b.size(i));
    const Dims batch = broadcastSizes("matmul", batchA, batchB);
    const auto spread = [&](const Tensor& matrix) {
        Dims sizes = batch;
        sizes.push(matrix.size(matrix.dims() - 2));
        sizes.push(matrix.size(matrix.dims() - 1));
        return expand(context, matrix, sizes);
    };
    a = spread(a);
    b = spread(b);
    Dims sizes = batch;
    sizes.push(m);
    sizes.push(n);
    Tensor out = context.empty(a.dtype(), sizes);
    context.kernels().matmul(context, out, a, b, nullptr);
    Dims final = batch;
    if (left.dims() > 1) final.push(m);
    if (right.dims() > 1) final.push(n);
    return out.window(final, contiguousStrides(final));
}

// input[..., in] weight[out, in]ᵀ + bias[out]
Tensor linear(Context& context, const Tensor& input, const Tensor& weight, optional<Tensor> bias) {
    requireSameDType("linear", input, weight);
    CHECK_SHAPE(weight.dims() == 2, "linear: expected a weight of [out, in], got ",
                weight.sizes().toString());
    CHECK_SHAPE(input.dims() > 0 && input.sizes().back() == weight.size(1), "linear: the weight ",
                weight.sizes().toString(), " expects ", weight.size(1), " input features, the input is ",
                input.sizes().toString());
    const int64_t in = weight.size(1), out = weight.size(0);
    if (bias) {
        CHECK_SHAPE(bias->sizes() == Dims{out}, "linear: expected a bias of [", out, "], got ",
                    bias->sizes().toString());
        requireSameDType("linear", input, *bias);
        bias = contiguous(context, *bias);
    }
    Dims sizes = input.sizes();
    sizes[sizes.size() - 1] = out;
    int64_t rows = 1;
    for (int i = 0; i + 1 < input.dims(); i++) rows *= input.size(i);
    const Tensor x = input.dims() == 2 ? gemmReady(context, input)
                                       : contiguous(context, input).window(Dims{rows, in}, Dims{in, 1});
    const Tensor w = gemmReady(context, weight);
    Tensor result = context.empty(input.dtype(), sizes);
    const Tensor flat = result.window(Dims{rows, out}, Dims{out, 1});
    const View biasView = bias ? bias->view() : View{};
    context.kernels().matmul(context, flat, x, permute(context, w, Dims{1, 0}), bias ? &biasView : nullptr);
    return result;
}

// Those of the three gradients that are asked for, in the order of linear's inputs.
TensorList linear_backward(Context& context, const Tensor& gradient, const Tensor& input,
                           const Tensor& weight, bool wantInput, bool wantWeight, bool wantBias) {
    requireSameDType("linear", gradient, input);
    requireSameDType("linear", input, weight);
    CHECK_SHAPE(weight.dims() == 2 && input.dims() > 0 && input.dims() == gradient.dims() &&
                    input.sizes().back() == weight.size(1) && gradient.sizes().back() == weight.size(0),
                "linear: a gradient of ", gradient.sizes().toString(), " against an input of ",
                input.sizes().toString(), " and a weight of ", weight.sizes().toString());
    TensorList results;
    if (wantInput) results.push_back(matmul(context, gradient, weight));
    if (!wantWeight && !wantBias) return results;
    int64_t count = 1;
    for (int i = 0; i + 1 < input.dims(); i++) count *= input.size(i);
    const Tensor rows = reshape(context, gradient, Dims{count, weight.size(0)});
    if (wantWeight) {
        const Tensor x = reshape(context, input, Dims{count, weight.size(1)});
        results.push_back(matmul(context, permute(context, rows, Dims{1, 0}), x));
    }
    if (wantBias) results.push_back(sum(context, rows, Dims{0}, false));
    return results;
}

}  // namespace anneal::ops
