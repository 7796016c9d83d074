// Random fills: PyTorch's draws, in stream order, hence on the engine thread and never in parallel.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/ops.h"
#include "core/ops/operands.h"
#include "core/random.h"

namespace anneal::ops {

namespace {

// The same elements with the dimensions in the order of memory, the outermost first.
Tensor inMemoryOrder(const Tensor& tensor) {
    std::vector<int> order(static_cast<size_t>(tensor.dims()));
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(),
                     [&](int a, int b) { return tensor.strides()[a] > tensor.strides()[b]; });
    Dims sizes = tensor.sizes(), strides = tensor.strides();
    for (int i = 0; i < tensor.dims(); i++) {
        sizes[i] = tensor.size(order[static_cast<size_t>(i)]);
        strides[i] = tensor.strides()[order[static_cast<size_t>(i)]];
    }
    return tensor.window(sizes, strides);
}

// Draws in the order of memory, as PyTorch does, into dense memory, then copies to where the target's strides
// say. The generator is the processor's on every device: the same seed gives the same numbers everywhere.
template <typename Fill>
void fillInOrder(Context& context, const char* op, const Tensor& given, const Fill& fill) {
    requireWritable(op, given);
    const Tensor target = given.isContiguous() ? given : inMemoryOrder(given);
    const bool direct = target.isContiguous() && target.device().isCpu();
    const OnDevice here(context, Device::cpu());
    const Tensor dense = direct ? target : context.empty(target.dtype(), target.sizes());
    context.enqueue(op,
                    [&generator = context.generator(), out = dense.view(), fill] { fill(generator, out); });
    if (!direct) copy_(context, target, dense);
}

// Half precision is drawn as float32 and rounded.
Tensor wideFor(Context& context, const Tensor& target) {
    const bool half = target.dtype() == DType::BFloat16 || target.dtype() == DType::Float16;
    return half ? context.empty(DType::Float32, target.sizes()) : target;
}

void requireFloating(const char* op, const Tensor& target) {
    CHECK_DTYPE(isFloating(target.dtype()), op, ": expected a floating dtype, got ",
                dtypeName(target.dtype()));
}

}  // namespace

void uniform_(Context& context, const Tensor& target, double from, double to) {
    requireFloating("uniform_", target);
    CHECK(from <= to, ErrorKind::General, "uniform_: the range [", from, ", ", to, ") is empty");
    const Tensor wide = wideFor(context, target);
    fillInOrder(context, "uniform_", wide, [from, to](Generator& generator, const View& out) {
        if (out.dtype == DType::Float64) {
            fillUniform(generator, out.as<double>(), out.numel(), from, to);
        } else {
            fillUniform(generator, out.as<float>(), out.numel(), from, to);
        }
    });
    if (wide.storage().get() != target.storage().get()) copy_(context, target, wide);
}

void normal_(Context& context, const Tensor& target, double mean, double deviation) {
    requireFloating("normal_", target);
    CHECK(deviation >= 0, ErrorKind::General, "normal_: the standard deviation must not be negative, got ",
          deviation);
    const Tensor wide = wideFor(context, target);
    const bool oneByOne = !wide.isContiguous();
    fillInOrder(context, "normal_", wide, [mean, deviation, oneByOne](Generator& generator, const View& out) {
        const auto draw = [&](auto* data) {
            if (oneByOne) {
                fillNormalOneByOne(generator, data, out.numel(), mean, deviation);
            } else {
                fillNormal(generator, data, out.numel(), mean, deviation);
            }
        };
        if (out.dtype == DType::Float64) {
            draw(out.as<double>());
        } else {
            draw(out.as<float>());
        }
    });
    if (wide.storage().get() != target.storage().get()) copy_(context, target, wide);
}

void bernoulli_(Context& context, const Tensor& target, double probability) {
    CHECK(probability >= 0 && probability <= 1, ErrorKind::General,
          "bernoulli_: the probability must be in [0, 1], got ", probability);
    const bool direct = target.dtype() == DType::Float32 || target.dtype() == DType::Float64;
    const Tensor wide = direct ? target : context.empty(DType::Float32, target.sizes());
    fillInOrder(context, "bernoulli_", wide, [probability](Generator& generator, const View& out) {
        if (out.dtype == DType::Float64) {
            fillBernoulli(generator, out.as<double>(), out.numel(), probability);
        } else {
            fillBernoulli(generator, out.as<float>(), out.numel(), probability);
        }
    });
    if (!direct) copy_(context, target, wide);
}

void random_(Context& context, const Tensor& target, double from, double to) {
    constexpr double kLimit = 9223372036854775808.0;
    CHECK(from == std::floor(from) && to == std::floor(to) && from >= -kLimit && to < kLimit,
          ErrorKind::General, "randint: ", from, " and ", to, " are not both integers of 64 bits");
    CHECK(from < to, ErrorKind::General, "randint: the range [", from, ", ", to, ") is empty");
    const auto low = static_cast<int64_t>(from);
    const auto range = static_cast<uint64_t>(static_cast<int64_t>(to) - low);
    const bool direct = target.dtype() == DType::Int64;
    const Tensor wide = direct ? target : context.empty(DType::Int64, target.sizes());
    fillInOrder(context, "randint", wide, [low, range](Generator& generator, const View& out) {
        fillRandint(generator, out.as<int64_t>(), out.numel(), low, range);
    });
    if (!direct) copy_(context, target, wide);
}

Tensor randperm(Context& context, int64_t count) {
    CHECK_SHAPE(count >= 0, "randperm: the count must not be negative, got ", count);
    const Device device = context.device();
    const OnDevice here(context, Device::cpu());
    Tensor out = context.empty(DType::Int64, Dims{count});
    context.enqueue("randperm", [&generator = context.generator(), view = out.view()] {
        fillRandperm(generator, view.as<int64_t>(), view.numel());
    });
    return to_device(context, out, device.number());
}

}  // namespace anneal::ops
