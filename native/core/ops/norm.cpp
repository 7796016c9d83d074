// Batch normalisation. Statistics and affine parameters are float32 for half-precision inputs.
#include <cmath>

#include "core/kernels.h"
#include "core/ops/norm.h"

namespace anneal::ops {

TensorList batch_norm(Context& context, const Tensor& input, optional<Tensor> weight, optional<Tensor> bias,
                      optional<Tensor> runningMean, optional<Tensor> runningVariance,
                      optional<Tensor> residual, bool training, double momentum, double epsilon, bool relu) {
    checkNormInput("batchNorm", input);
    CHECK_SHAPE(input.dims() >= 2 && input.dims() <= 5,
                "batchNorm: needs an input of shape [N, C, …] with 2 to 5 dimensions, got ",
                input.sizes().toString());
    const int64_t channels = input.size(1);
    CHECK_SHAPE(channels > 0, "batchNorm: the input has no channels: ", input.sizes().toString());
    CHECK_SHAPE(!training || input.numel() / channels > 1,
                "batchNorm: training needs more than one value per channel, got an input of shape ",
                input.sizes().toString(),
                "; use a larger batch, drop the last incomplete one, or call eval()");
    CHECK(runningMean.has_value() == runningVariance.has_value(), ErrorKind::General,
          "batchNorm: runningMean and runningVar go together, only one was given");
    CHECK(training || runningMean, ErrorKind::General,
          "batchNorm: without training, runningMean and runningVar are needed");
    CHECK(std::isfinite(momentum) && std::isfinite(epsilon), ErrorKind::General,
          "batchNorm: momentum and eps must be finite, got ", momentum, " and ", epsilon);
    checkResidual("batchNorm", residual, input.sizes(), input.dtype());
    const Dims perChannel{channels};
    const auto prepare = [&](const char* name, const optional<Tensor>& tensor) {
        return normParameter(context, "batchNorm", name, tensor, perChannel, input);
    };
    const optional<Tensor> scale = prepare("weight", weight), shift = prepare("bias", bias);
    const optional<Tensor> mean = prepare("runningMean", runningMean),
                           variance = prepare("runningVar", runningVariance);
    const Tensor rows = channelRows(context, input);
    const optional<Tensor> sum = residual ? optional<Tensor>(channelRows(context, *residual)) : std::nullopt;
    const Tensor out = emptyRows(context, rows);
    const DType compute = computeType(input.dtype());
    const Tensor savedMean = context.empty(compute, perChannel),
                 savedDeviation = context.empty(compute, perChannel);
    const OptionalView scaleView(scale), shiftView(shift), sumView(sum), meanView(mean),
        varianceView(variance);
    context.kernels().batchNorm(context,
                                {out, savedMean, savedDeviation, rows, scaleView.get(), shiftView.get(),
                                 sumView.get(), meanView.get(), varianceView.get()},
                                {training, relu, momentum, epsilon});
    // Statistics that had to be converted are brought back.
    if (training && mean && mean->storage().get() != runningMean->storage().get()) {
        copy_(context, *runningMean, *mean);
    }
    if (training && variance && variance->storage().get() != runningVariance->storage().get()) {
        copy_(context, *runningVariance, *variance);
    }
    return {fromRows(context, out, input.sizes()), savedMean, savedDeviation};
}

TensorList batch_norm_backward(Context& context, const Tensor& gradient, const Tensor& input,
                               optional<Tensor> output, optional<Tensor> weight, optional<Tensor> bias,
                               const Tensor& mean, const Tensor& inverseDeviation, bool training, bool relu,
                               bool wantInput, bool wantParameters) {
    checkNormInput("batchNorm", input);
    CHECK_SHAPE(input.dims() >= 2 && gradient.sizes() == input.sizes() &&
                    (!output || output->sizes() == input.sizes()),
                "batchNorm: a gradient of shape ", gradient.sizes().toString(), " against an input of shape ",
                input.sizes().toString());
    CHECK_DTYPE(gradient.dtype() == input.dtype() && (!output || output->dtype() == input.dtype()),
                "batchNorm: a gradient of ", dtypeName(gradient.dtype()), " against an input of ",
                dtypeName(input.dtype()));
    const Dims perChannel{input.size(1)};
    const auto prepare = [&](const char* name, const optional<Tensor>& tensor) {
        return normParameter(context, "batchNorm", name, tensor, perChannel, input);
    };
    const optional<Tensor> scale = prepare("weight", weight), shift = prepare("bias", bias);
    const optional<Tensor> savedMean = prepare("mean", mean),
                           savedDeviation = prepare("deviation", inverseDeviation);
    const Tensor rows = channelRows(context, input), gradientRows = channelRows(context, gradient);
    const bool gated = relu && output;
    if (!wantInput && !wantParameters && !gated) return {};
    const optional<Tensor> outputRows =
        gated ? optional<Tensor>(channelRows(context, *output)) : std::nullopt;
    const DType compute = computeType(input.dtype());
    optional<Tensor> gradInput, gradWeight, gradBias, gradResidual;
    if (wantInput) gradInput = emptyRows(context, rows);
    if (wantParameters) {
        gradWeight = context.empty(compute, perChannel);
        gradBias = context.empty(compute, perChannel);
    }
    if (gated) gradResidual = emptyRows(context, rows);
    const OptionalView gradInputView(gradInput), gradWeightView(gradWeight), gradBiasView(gradBias),
        gradResidualView(gradResidual), outputView(outputRows), scaleView(scale), shiftView(shift);
    context.kernels().batchNormBackward(
        context,
        {gradInputView.get(), gradWeightView.get(), gradBiasView.get(), gradResidualView.get(), gradientRows,
         rows, outputView.get(), scaleView.get(), shiftView.get(), *savedMean, *savedDeviation},
        {training, relu, 0, 0});
    TensorList results;
    if (gradInput) results.push_back(fromRows(context, *gradInput, input.sizes()));
    if (wantParameters) {
        results.push_back(to_dtype(context, *gradWeight, weight ? weight->dtype() : compute));
        results.push_back(to_dtype(context, *gradBias, bias ? bias->dtype() : compute));
    }
    if (gradResidual) results.push_back(fromRows(context, *gradResidual, input.sizes()));
    return results;
}

}  // namespace anneal::ops
