// Creation, filling, conversion.
#include "core/device_runtime.h"
#include "core/kernels.h"
#include "core/numbers.h"
#include "core/ops.h"
#include "core/ops/operands.h"
#include "core/promotion.h"

namespace anneal::ops {

Tensor empty(Context& context, Dims sizes, DType dtype) { return context.empty(dtype, sizes); }

Tensor empty_like(Context& context, const Tensor& like) { return context.emptyLike(like); }

Tensor full(Context& context, Dims sizes, double value, DType dtype) {
    Tensor out = context.empty(dtype, sizes);
    context.kernels().fill(context, out, value);
    return out;
}

Tensor arange(Context& context, double start, double step, int64_t count, DType dtype) {
    CHECK_SHAPE(count >= 0, "arange: a step of ", step, " never reaches the end");
    Tensor out = context.empty(dtype, Dims{count});
    context.kernels().arange(context, out, start, step);
    return out;
}

Tensor linspace(Context& context, double start, double end, int64_t count, DType dtype) {
    CHECK_SHAPE(count >= 0, "linspace: the number of steps must not be negative, got ", count);
    Tensor out = context.empty(dtype, Dims{count});
    context.kernels().linspace(context, out, start, end);
    return out;
}

Tensor eye(Context& context, int64_t rows, int64_t columns, DType dtype) {
    Tensor out = context.empty(dtype, Dims{rows, columns});
    context.kernels().eye(context, out);
    return out;
}

void fill_(Context& context, const Tensor& target, double value) {
    context.kernels().fill(context, target, value);
}

void copy_(Context& context, const Tensor& target, const Tensor& source) {
    requireWritable("copy_", target);
    CHECK_SHAPE(broadcastSizes("copy_", target.sizes(), source.sizes()) == target.sizes(), "copy_: shape ",
                source.sizes().toString(), " does not fit into ", target.sizes().toString());
    if (target.device() != source.device()) {
        const Tensor moved = to_device(context, source, target.device().number());
        const OnDevice there(context, target.device());
        return copy_(context, target, moved);
    }
    const bool sameMemory = target.storage().get() == source.storage().get();
    context.kernels().copy(context, target, sameMemory ? clone(context, source) : source);
}

Tensor to_dtype(Context& context, const Tensor& input, DType dtype) {
    if (input.dtype() == dtype) return input;
    Tensor out = context.emptyLike(input, dtype);
    context.kernels().copy(context, out, input);
    return out;
}

// Keeps the memory order of dense tensors. Neither side waits, except for what goes to the processor: whoever
// enqueues next there may read it.
Tensor to_device(Context& context, const Tensor& input, int64_t number) {
    CHECK_DEVICE(number >= 0 && number < kMaxDevices, "to: there is no device number ", number);
    const Device device(static_cast<int>(number));
    if (device == input.device()) return input;
    const OnDevice here(context, input.device());
    const Tensor source = input.isDense() ? input : contiguous(context, input);
    const OnDevice there(context, device);
    Tensor out = context.empty(source.dtype(), source.sizes(), source.strides());
    // What the kernels before have found is thrown at this read, though there is nothing to be read.
    if (out.numel() == 0 && !device.isCpu()) return out;
    if (device.isCpu()) {
        context.enqueue(
            "to", [runtime = context.openRuntime(source.device()), to = out.data(), from = source.data(),
                   bytes = out.bytes()] { runtime->read(to, from, bytes); });
    } else if (source.device().isCpu()) {
        context.enqueue("to", [runtime = context.openRuntime(device), to = out.data(), from = source.data(),
                               bytes = out.bytes()] { runtime->upload(to, from, bytes); });
    } else {
        const OnDevice between(context, Device::cpu());
        const Tensor host = to_device(context, source, 0);
        return to_device(context, host, number);
    }
    return out;
}

Tensor clone(Context& context, const Tensor& input) {
    Tensor out = context.emptyLike(input);
    context.kernels().copy(context, out, input);
    return out;
}

Tensor contiguous(Context& context, const Tensor& input) {
    if (input.isContiguous()) return input;
    Tensor out = context.empty(input.dtype(), input.sizes());
    context.kernels().copy(context, out, input);
    return out;
}

Tensor channels_last(Context& context, const Tensor& input) {
    CHECK_SHAPE(input.dims() == 4, "channelsLast: expected [N, C, H, W], got ", input.sizes().toString());
    if (input.isChannelsLast()) return input;
    Tensor out = context.emptyChannelsLast(input.dtype(), input.sizes());
    context.kernels().copy(context, out, input);
    return out;
}

Tensor normalize_images(Context& context, const Tensor& bytes, std::vector<double> mean,
                        std::vector<double> deviation) {
    CHECK_SHAPE(bytes.dims() == 4, "normalizeImages: expected [N, C, H, W], got ", bytes.sizes().toString());
    CHECK_DTYPE(bytes.dtype() == DType::UInt8, "normalizeImages: expected uint8, got ",
                dtypeName(bytes.dtype()));
    const auto channels = static_cast<size_t>(bytes.size(1));
    CHECK_SHAPE(mean.size() == channels && deviation.size() == channels, "normalizeImages: ", channels,
                " channels, but ", mean.size(), " means and ", deviation.size(), " deviations");
    std::vector<double> scale(channels), shift(channels);
    for (size_t c = 0; c < channels; c++) {
        CHECK(deviation[c] != 0, ErrorKind::General, "normalizeImages: the deviation of channel ", c,
              " is zero");
        scale[c] = 1 / (255 * deviation[c]);
        shift[c] = -mean[c] / deviation[c];
    }
    const Tensor packed = channels_last(context, bytes);
    Tensor out = context.emptyChannelsLast(DType::Float32, bytes.sizes());
    context.kernels().normalizeImages(context, out, packed, std::move(scale), std::move(shift));
    return out;
}

Tensor where(Context& context, const Tensor& condition, const Operand& a, const Operand& b) {
    const DType dtype = resultType(a, b);
    const auto prepare = [&](const Operand& operand) {
        if (operand.tensor) return to_dtype(context, *operand.tensor, dtype);
        requireHolds("where", operand.number, dtype);
        return full(context, Dims{}, operand.number, dtype);
    };
    const Tensor x = prepare(a), y = prepare(b), chosen = to_dtype(context, condition, DType::Bool);
    const Dims sizes = broadcastSizes("where", chosen.sizes(), broadcastSizes("where", x.sizes(), y.sizes()));
    Tensor out = x.sizes() == sizes   ? context.emptyLike(x)
                 : y.sizes() == sizes ? context.emptyLike(y)
                                      : context.empty(dtype, sizes);
    context.kernels().where(context, out, chosen, x, y);
    return out;
}

}  // namespace anneal::ops
