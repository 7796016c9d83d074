#include <cmath>
#include <cstring>

#include "cpu/conv_bias.h"
#include "cpu/conv_narrow.h"
#include "cpu/conv_pairs.h"
#include "cpu/kernels.h"
#include "cpu/onednn.h"
#include "cpu/parallel.h"
#include "cpu/shared_cache.h"
#include "cpu/simd.h"
#include "cpu/winograd.h"
#include "cpu/winograd_stem.h"

namespace anneal::cpu {

namespace {

using onednn::memory;

using Direction = ConvDirection;

// A primitive with its memory objects: made once for a shape, then only pointed at new data.
struct ConvEntry {
    dnnl::primitive primitive;
    memory::desc plainWeight;   // as the tensor holds it
    memory::desc weightFormat;  // as the primitive wants it
    bool reordersWeight = false;
    dnnl::primitive reorder;
    memory source, weight, bias, target, plain, scratchpad;
    memory factors;  // of the weights, with an epilogue
};

memory::dims dims(const Dims& sizes) { return memory::dims(sizes.begin(), sizes.end()); }

onednn::Key keyOf(Direction direction, const View& input, const View& weight, const View& out, bool withBias,
                  const ConvEpilogue* epilogue, const ConvGeometry& g) {
    const int64_t after = !epilogue ? 0 : 1 + 2 * epilogue->relu + 4 * (epilogue->residual != nullptr);
    onednn::Key key{static_cast<int64_t>(direction),
                    static_cast<int64_t>(input.dtype),
                    static_cast<int64_t>(weight.dtype),
                    withBias,
                    after,
                    g.groups,
                    omp_get_max_threads()};
    for (int64_t size : input.sizes) key.push_back(size);
    for (int64_t size : weight.sizes) key.push_back(size);
    for (int64_t size : out.sizes) key.push_back(size);
    for (int i = 0; i < 2; i++) {
        key.insert(key.end(), {g.stride[i], g.padding[i], g.paddingAfter[i], g.dilation[i]});
    }
    return key;
}

// In bfloat16 without matrix units oneDNN takes an order of the weights of its own choice that it brings them
// into five times slower than into that of the gradient's kernel, whose forward twin is no slower.
dnnl::convolution_forward::primitive_desc forwardDescriptor(const onednn::ConvDescriptors& d,
                                                            const View& input, const View& weight,
                                                            const ConvGeometry& g) {
    if (input.dtype == DType::BFloat16 && !onednn::hasMatrixUnits() && g.groups == 1 &&
        weight.sizes[0] % 16 == 0 && weight.sizes[1] % 16 == 0) {
        onednn::ConvDescriptors ordered = d;
        ordered.weight =
            memory::desc(dims(weight.sizes), memory::data_type::bf16, memory::format_tag::OIhw8i16o2i);
        try {
            return onednn::forwardDescriptor(ordered);
        } catch (const dnnl::error&) {
            // None of its kernels for this shape takes that order.
        }
    }
    return onednn::forwardDescriptor(d);
}

std::unique_ptr<ConvEntry> makeEntry(Direction direction, const View& input, const View& weight,
                                     const View& out, const View* bias, const ConvEpilogue* epilogue,
                                     const ConvGeometry& g) {
    using tag = memory::format_tag;
    auto entry = std::make_unique<ConvEntry>();
    memory::dims weightDims = dims(weight.sizes);
    if (g.groups > 1) {
        weightDims.insert(weightDims.begin(), g.groups);
        weightDims[1] /= g.groups;
    }
    onednn::ConvDescriptors d;
    d.source = memory::desc(dims(input.sizes), onednn::dataType(input.dtype), tag::nhwc);
    d.target = memory::desc(dims(out.sizes), onednn::dataType(out.dtype), tag::nhwc);
    // Half precision reads the weights rounded, and sums their gradient in float32.
    const DType weightType = direction == Direction::BackwardWeight ? weight.dtype : input.dtype;
    d.weight = memory::desc(weightDims, onednn::dataType(weightType), tag::any);
    d.forwardWeight = memory::desc(weightDims, onednn::dataType(input.dtype), tag::any);
    if (bias) d.bias = memory::desc(dims(bias->sizes), onednn::dataType(bias->dtype), tag::a);
    for (int i = 0; i < 2; i++) {
        d.stride.push_back(g.stride[i]);
        d.dilation.push_back(g.dilation[i] - 1);
        d.padding.push_back(g.padding[i]);
        // Rows and columns that the stride leaves over are oneDNN's to skip: a padding cut to fit would be
        // negative.
        d.paddingAfter.push_back(g.paddingAfter[i]);
    }
    entry->plainWeight =
        memory::desc(weightDims, onednn::dataType(weight.dtype), g.groups > 1 ? tag::goihw : tag::oihw);
    const auto take = [&](const auto& descriptor, auto primitive, const memory::desc& weightFormat) {
        entry->primitive = primitive;
        entry->weightFormat = weightFormat;
        entry->scratchpad = memory(descriptor.scratchpad_desc(), onednn::engine(), nullptr);
    };
    if (direction == Direction::Forward) {
        if (epilogue) {
            d.bias = memory::desc({out.sizes[1]}, memory::data_type::f32, tag::a);
            if (epilogue->residual) d.after.append_sum();
            if (epilogue->relu) onednn::appendRelu(d.after);
        }
        const auto descriptor = forwardDescriptor(d, input, weight, g);
        take(descriptor, dnnl::convolution_forward(descriptor), descriptor.weights_desc());
    } else if (direction == Direction::BackwardInput) {
        const auto descriptor = onednn::backwardDataDescriptor(d);
        take(descriptor, dnnl::convolution_backward_data(descriptor), descriptor.weights_desc());
    } else {
        const auto descriptor = onednn::backwardWeightsDescriptor(d);
        take(descriptor, dnnl::convolution_backward_weights(descriptor), descriptor.diff_weights_desc());
    }
    entry->source = memory(d.source, onednn::engine(), nullptr);
    entry->target = memory(d.target, onednn::engine(), nullptr);
    entry->weight = memory(entry->weightFormat, onednn::engine(), nullptr);
    entry->plain = memory(entry->plainWeight, onednn::engine(), nullptr);
    if (bias || epilogue) entry->bias = memory(d.bias, onednn::engine(), nullptr);
    entry->reordersWeight = epilogue || entry->weightFormat != entry->plainWeight;
    if (epilogue) {
        entry->factors = memory(d.bias, onednn::engine(), nullptr);
        entry->reorder = dnnl::reorder(entry->plain, entry->weight, onednn::withFactors());
    } else if (entry->reordersWeight) {
        entry->reorder = direction == Direction::BackwardWeight ? dnnl::reorder(entry->weight, entry->plain)
                                                                : dnnl::reorder(entry->plain, entry->weight);
    }
    return entry;
}

// Weights times a scale as a primitive reads them, from one run to the next.
class ConvWeights : public Derived {
  public:
    // Makes them by `reorder(to)` unless it has them.
    template <typename Reorder>
    void* get(const ConvEntry& entry, const View& weight, const float* scale, const Reorder& reorder) {
        const size_t channels = weight.sizes[0];
        const bool same = from_ == weight.data && plain_ == entry.plainWeight &&
                          format_ == entry.weightFormat &&
                          std::memcmp(scale_.data(), scale, channels * sizeof(float)) == 0;
        void* const to = buffer_.get(entry.weightFormat.get_size());
        if (same) return to;
        from_ = nullptr;  // as long as it may fail
        reorder(to);
        scale_.assign(scale, scale + channels);
        plain_ = entry.plainWeight;
        format_ = entry.weightFormat;
        from_ = weight.data;
        return to;
    }

  private:
    Buffer buffer_;
    memory::desc plain_, format_;
    const void* from_ = nullptr;
    std::vector<float> scale_;
};

// oneDNN adds what the output holds already.
void copyBytes(void* to, const void* from, int64_t bytes) {
    parallelFor(bytes, 256 * 1024, [=](int64_t begin, int64_t end) {
        std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin, end - begin);
    });
}

void runOneDnn(Direction direction, const View& input, const View& weight, const View& out, const View* bias,
               const ConvGeometry& g, const ConvEpilogue* epilogue = nullptr, ConvWeights* kept = nullptr) {
    constexpr int64_t kSmall = 6'000'000;  // products for which the team would take no less time
    const OneThread team(out.numel() * (weight.numel() / weight.sizes[0]) < kSmall);
    thread_local onednn::Cache<ConvEntry> cache;
    ConvEntry& entry = cache.get(keyOf(direction, input, weight, out, bias != nullptr, epilogue, g),
                                 [&] { return makeEntry(direction, input, weight, out, bias, epilogue, g); });
    dnnl::stream& stream = onednn::stream();

    entry.source.set_data_handle(input.data);
    entry.target.set_data_handle(out.data);
    entry.plain.set_data_handle(weight.data);
    entry.scratchpad.set_data_handle(scratch(0, entry.scratchpad.get_desc().get_size()));
    const auto reorder = [&](void* to) {
        entry.weight.set_data_handle(to);
        std::unordered_map<int, memory> operands{{DNNL_ARG_FROM, entry.plain}, {DNNL_ARG_TO, entry.weight}};
        if (epilogue) {
            entry.factors.set_data_handle(const_cast<float*>(epilogue->scale));
            operands.insert({onednn::kFactors, entry.factors});
        }
        entry.reorder.execute(stream, operands);
    };
    if (kept) {
        entry.weight.set_data_handle(kept->get(entry, weight, epilogue->scale, reorder));
    } else if (entry.reordersWeight) {
        void* const to = scratch(1, entry.weightFormat.get_size());
        if (direction == Direction::BackwardWeight) {
            entry.weight.set_data_handle(to);
        } else {
            reorder(to);
        }
    } else {
        entry.weight.set_data_handle(weight.data);
    }
    std::unordered_map<int, memory> arguments{{DNNL_ARG_SCRATCHPAD, entry.scratchpad}};
    switch (direction) {
        case Direction::Forward:
            arguments.insert({{DNNL_ARG_SRC, entry.source},
                              {DNNL_ARG_WEIGHTS, entry.weight},
                              {DNNL_ARG_DST, entry.target}});
            break;
        case Direction::BackwardInput:
            arguments.insert({{DNNL_ARG_DIFF_SRC, entry.source},
                              {DNNL_ARG_WEIGHTS, entry.weight},
                              {DNNL_ARG_DIFF_DST, entry.target}});
            break;
        case Direction::BackwardWeight:
            arguments.insert({{DNNL_ARG_SRC, entry.source},
                              {DNNL_ARG_DIFF_WEIGHTS, entry.weight},
                              {DNNL_ARG_DIFF_DST, entry.target}});
            break;
    }
    if (bias) {
        entry.bias.set_data_handle(bias->data);
        arguments.insert(
            {direction == Direction::BackwardWeight ? DNNL_ARG_DIFF_BIAS : DNNL_ARG_BIAS, entry.bias});
    }
    if (epilogue) {
        entry.bias.set_data_handle(const_cast<float*>(epilogue->shift));
        arguments.insert({DNNL_ARG_BIAS, entry.bias});
        if (epilogue->residual) copyBytes(out.data, epilogue->residual, out.numel() * dtypeSize(out.dtype));
    }
    entry.primitive.execute(stream, arguments);
    if (entry.reordersWeight && direction == Direction::BackwardWeight) {
        entry.reorder.execute(stream, {{DNNL_ARG_FROM, entry.weight}, {DNNL_ARG_TO, entry.plain}});
    }
    stream.wait();
}

// Kernels of one kind, for all but the gradient of the bias.
struct OwnKernels {
    void (*forward)(const View& out, const View& input, const View& weight, const View* bias,
                    const ConvGeometry& g);
    void (*backwardInput)(const View& gradInput, const View& gradOutput, const View& weight,
                          const ConvGeometry& g);
    void (*backwardWeight)(const View& gradWeight, const View& gradOutput, const View& input,
                           const ConvGeometry& g);
};
constexpr OwnKernels kStem{stem::forward, nullptr, stem::backwardWeight},
    kWinograd{winograd::forward, winograd::backwardInput, winograd::backwardWeight},
    kPairs{pairs::forward, pairs::backwardInput, pairs::backwardWeight};

void runOwn(const OwnKernels& kernels, Direction direction, const View& input, const View& weight,
            const View& out, const View* bias, const ConvGeometry& g) {
    switch (direction) {
        case Direction::Forward:
            kernels.forward(out, input, weight, bias, g);
            break;
        case Direction::BackwardInput:
            kernels.backwardInput(input, out, weight, g);
            break;
        case Direction::BackwardWeight:
            if (bias) sumPixels(*bias, out);
            kernels.backwardWeight(weight, out, input, g);
            break;
    }
    measureSharedCache();  // while the team is here
}

void runNarrow(Direction direction, const View& input, const View& weight, const View& out, const View* bias,
               const ConvGeometry& g) {
    switch (direction) {
        case Direction::Forward:
            return narrow::forward(out, input, weight, bias, g);
        case Direction::BackwardInput:
            return narrow::backwardInput(input, out, weight, g);
        case Direction::BackwardWeight:
            return narrow::backwardWeight(weight, bias, out, input, g);
    }
}

void enqueueConv(Context& context, const char* op, Direction direction, const View& input, const View& weight,
                 const View& out, const View* bias, const ConvGeometry& geometry) {
    const bool withBias = bias != nullptr;
    context.enqueue(op, [=, biasView = bias ? *bias : View{}] {
        const View* biasPointer = withBias ? &biasView : nullptr;
        if (input.dtype == DType::Float64) {
            convDouble(direction, input, weight, out, biasPointer, geometry);
        } else if (narrow::suits(direction, input.sizes, weight.sizes, input.dtype, geometry)) {
            runNarrow(direction, input, weight, out, biasPointer, geometry);
        } else if (stem::suits(direction, input.sizes, weight.sizes, input.dtype, geometry)) {
            runOwn(kStem, direction, input, weight, out, biasPointer, geometry);
        } else if (winograd::suits(input, weight, out, geometry)) {
            runOwn(kWinograd, direction, input, weight, out, biasPointer, geometry);
        } else if (pairs::suits(direction, weight, out, geometry)) {
            runOwn(kPairs, direction, input, weight, out, biasPointer, geometry);
        } else {
            runOneDnn(direction, input, weight, out, biasPointer, geometry);
        }
    });
}

}  // namespace

bool convolvesPlanes(ConvDirection direction, ConvOperand operand, const Dims& input, const Dims& weight,
                     DType dtype, const ConvGeometry& geometry) {
    return narrow::suits(direction, input, weight, dtype, geometry) ||
           (operand == ConvOperand::Input && stem::suits(direction, input, weight, dtype, geometry));
}

bool convolvesWithNorm(const Dims& input, const Dims& weight, DType dtype, const ConvGeometry& geometry) {
    return (dtype == DType::Float32 || dtype == DType::BFloat16) && geometry.groups == 1 &&
           !narrow::suits(Direction::Forward, input, weight, dtype, geometry);
}

std::shared_ptr<Derived> newConvWeights() { return std::make_shared<ConvWeights>(); }

void conv2dNorm(Context& context, const View& out, const View& input, const View& weight,
                const ConvNorm& norm, const ConvGeometry& geometry, std::shared_ptr<Derived> kept) {
    const auto values = [](const View* view) { return view ? view->as<const float>() : nullptr; };
    const float *const bias = values(norm.bias), *const gain = values(norm.weight),
                       *const lift = values(norm.shift);
    const float *const mean = norm.mean.as<const float>(), *const variance = norm.variance.as<const float>();
    const void* const residual = norm.residual ? norm.residual->data : nullptr;
    const double epsilon = norm.epsilon;
    const bool relu = norm.relu;
    context.enqueue("conv2d_norm", [=] {
        const int64_t channels = out.sizes[1];
        std::vector<float> scale(channels), shift(channels);
        for (int64_t c = 0; c < channels; c++) {
            const double factor = (gain ? gain[c] : 1) / std::sqrt(double(variance[c]) + epsilon);
            scale[c] = static_cast<float>(factor);
            shift[c] =
                static_cast<float>(((bias ? bias[c] : 0) - double(mean[c])) * factor + (lift ? lift[c] : 0));
        }
        const ConvEpilogue epilogue{scale.data(), shift.data(), residual, relu};
        if (stem::suits(Direction::Forward, input.sizes, weight.sizes, input.dtype, geometry)) {
            stem::forward(out, input, weight, epilogue, geometry);
        } else if (winograd::suits(input, weight, out, geometry)) {
            winograd::forward(out, input, weight, epilogue, geometry);
            measureSharedCache();
        } else {
            runOneDnn(Direction::Forward, input, weight, out, nullptr, geometry, &epilogue,
                      static_cast<ConvWeights*>(kept.get()));
        }
    });
}

// In bfloat16 oneDNN 2.6 computes wrong gradients: of the input through a single tap from an odd number of
// channels, where there are many pixels; of weights with a dilation, or with a stride that is wider than the
// input (seen with AVX-512 and its bfloat16).
bool convolvesBFloat16(ConvDirection direction, const Dims& input, const Dims& weight,
                       const ConvGeometry& g) {
    if (!onednn::hasBFloat16()) return false;
    if (direction == Direction::BackwardInput) {
        return weight[2] * weight[3] > 1 || weight[0] / g.groups % 2 == 0;
    }
    const bool wrong = g.dilation[0] > 1 || g.dilation[1] > 1 || g.stride[1] > input[3];
    if (direction == Direction::BackwardWeight && wrong) {
        return weight[2] * weight[3] > 1 && pairs::computes(weight, DType::BFloat16, g);
    }
    return true;
}

void conv2d(Context& context, const View& out, const View& input, const View& weight, const View* bias,
            const ConvGeometry& geometry) {
    enqueueConv(context, "conv2d", Direction::Forward, input, weight, out, bias, geometry);
}

void conv2dBackwardInput(Context& context, const View& gradInput, const View& gradOutput, const View& weight,
                         const ConvGeometry& geometry) {
    enqueueConv(context, "conv2d_backward_input", Direction::BackwardInput, gradInput, weight, gradOutput,
                nullptr, geometry);
}

void conv2dBackwardWeight(Context& context, const View& gradWeight, const View* gradBias,
                          const View& gradOutput, const View& input, const ConvGeometry& geometry) {
    enqueueConv(context, "conv2d_backward_weight", Direction::BackwardWeight, input, gradWeight, gradOutput,
                gradBias, geometry);
}

}  // namespace anneal::cpu
