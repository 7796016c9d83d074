#pragma once

#include "core/ops.h"
#include "core/ops/operands.h"

// What the normalisations share: parameters in the type computed in, and memory with the channels innermost.
namespace anneal::ops {

// A parameter of the given shape, contiguous and in the type computed in.
inline optional<Tensor> normParameter(Context& context, const char* op, const char* name,
                                      const optional<Tensor>& tensor, const Dims& sizes,
                                      const Tensor& input) {
    if (!tensor) return tensor;
    CHECK_SHAPE(tensor->sizes() == sizes, op, ": ", name, " must have shape ", sizes.toString(),
                " for an input of shape ", input.sizes().toString(), ", got ", tensor->sizes().toString());
    const DType compute = computeType(input.dtype());
    CHECK_DTYPE(tensor->dtype() == compute || tensor->dtype() == input.dtype(), op, ": ", name, " must be ",
                dtypeName(compute), " for an input of ", dtypeName(input.dtype()), ", got ",
                dtypeName(tensor->dtype()));
    return contiguous(context, to_dtype(context, *tensor, compute));
}

inline void checkNormInput(const char* op, const Tensor& input) {
    CHECK_DTYPE(isFloating(input.dtype()), op, ": expected a floating dtype, got ", dtypeName(input.dtype()));
}

inline void checkResidual(const char* op, const optional<Tensor>& residual, const Dims& sizes, DType dtype) {
    if (!residual) return;
    CHECK_SHAPE(residual->sizes() == sizes, op, ": the residual has shape ", residual->sizes().toString(),
                ", the input ", sizes.toString());
    CHECK_DTYPE(residual->dtype() == dtype, op, ": the residual is ", dtypeName(residual->dtype()),
                ", the input ", dtypeName(dtype));
}

inline void checkNormGradient(const char* op, const Tensor& gradient, const Tensor& input) {
    CHECK_SHAPE(gradient.sizes() == input.sizes(), op, ": a gradient of shape ", gradient.sizes().toString(),
                " for an input of shape ", input.sizes().toString());
    CHECK_DTYPE(gradient.dtype() == input.dtype(), op, ": a gradient of ", dtypeName(gradient.dtype()),
                " for an input of ", dtypeName(input.dtype()));
}

// Memory in which the channels of a position lie together: [N, C] as it is, [N, C, H, W] channels-last, and
// any other count of dimensions as [N, C, L, 1].
inline Tensor channelRows(Context& context, const Tensor& tensor) {
    if (tensor.dims() == 2) return contiguous(context, tensor);
    if (tensor.dims() == 4) return channels_last(context, tensor);
    int64_t length = 1;
    for (int i = 2; i < tensor.dims(); i++) length *= tensor.size(i);
    const Dims sizes{tensor.size(0), tensor.size(1), length, 1};
    return channels_last(context, contiguous(context, tensor).window(sizes, contiguousStrides(sizes)));
}

inline Tensor emptyRows(Context& context, const Tensor& rows) {
    return rows.dims() == 2 ? context.empty(rows.dtype(), rows.sizes())
                            : context.emptyChannelsLast(rows.dtype(), rows.sizes());
}

// Back from channelRows.
inline Tensor fromRows(Context& context, const Tensor& rows, const Dims& sizes) {
    if (sizes.size() == 2 || sizes.size() == 4) return rows;
    return contiguous(context, rows).window(sizes, contiguousStrides(sizes));
}

}  // namespace anneal::ops
