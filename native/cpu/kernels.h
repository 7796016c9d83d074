#pragma once

#include <memory>
#include <vector>

#include "core/context.h"

// The CPU's kernels, as the ops in core/ops/ call them: each enqueues its work on the context's stream and
// returns. Arguments have been checked and outputs allocated by the caller.
namespace anneal::cpu {

// --- copy.cpp: any strides, any pair of dtypes; `source` broadcasts to `target`
void copy(Context& context, const View& target, const View& source);
void fill(Context& context, const View& target, double value);
void arange(Context& context, const View& target, double start, double step);
void linspace(Context& context, const View& target, double start, double end);
void eye(Context& context, const View& target);
void normalizeImages(Context& context, const View& out, const View& bytes, std::vector<double> scale,
                     std::vector<double> shift);

// --- warp_pictures.cpp: `tables` may be null
void warpPictures(Context& context, const View& out, const View& bytes, const View& placements,
                  const View* tables);

// --- unary.cpp, binary.cpp are instantiated by name: see there

// --- ternary.cpp
void where(Context& context, const View& out, const View& condition, const View& a, const View& b);

// --- index.cpp: indices int64, int32 or uint8; checked by the kernel, since they are data
void gather(Context& context, const View& out, const View& input, int dim, const View& indices);
void scatter(Context& context, const View& target, int dim, const View& indices, const View& source);
void scatterAdd(Context& context, const View& target, int dim, const View& indices, const View& source);
void oneHot(Context& context, const View& out, const View& indices);

// --- index_list.cpp: `indices`, all of one shape, pick from the dimensions from `start` on; that shape takes
// their place in `out` and `values`. `fromEnd`: negative indices count from the end; else they are errors.
struct IndexList {
    int start;
    std::vector<View> indices;
    bool fromEnd;
};
void indexGet(Context& context, const View& out, const View& input, const IndexList& list);
void indexPut(Context& context, const View& target, const IndexList& list, const View& values,
              bool accumulate);

// --- remap.cpp: out[i, j, …] = input[m0(i), m1(j), …]. A map is a list of runs, gone through `times` times:
// `length` neighbours in `out` come from `source`, source + step, … of the input, each `every` times in a
// row, or are filled where `source` is negative.
struct Run {
    int64_t length, source, step, every = 1;
};
struct AxisMap {
    std::vector<Run> runs;
    int64_t times = 1;
};
void remap(Context& context, const View& out, const View& input, std::vector<AxisMap> maps, double fill);
// Adds up what each element of the input went into.
void remapBackward(Context& context, const View& gradInput, const View& gradOutput,
                   std::vector<AxisMap> maps);

// --- triangle.cpp: what lies on and above (below) a diagonal of the last two dimensions; zero elsewhere
void triangle(Context& context, const View& out, const View& input, int64_t diagonal, bool upper);

// --- reduce.cpp: `out` has the input's dimensions, of size 1 where reduced
enum class Reduction { Sum, Mean, Prod, Max, Min, Any, All };
void reduce(Context& context, Reduction kind, const View& out, const View& input);
void variance(Context& context, const View& out, const View& input, double correction);
// Along one dimension; `indices` is int64.
void extremum(Context& context, bool largest, const View& values, const View& indices, const View& input,
              int dim);
void sort(Context& context, const View& values, const View& indices, const View& input, int dim,
          bool descending, int64_t count);
void cumsum(Context& context, const View& out, const View& input, int dim, bool reverse);
void cumprod(Context& context, const View& out, const View& input, int dim);
void cumprodBackward(Context& context, const View& gradInput, const View& gradOutput, const View& input,
                     const View& output, int dim);

// --- matmul.cpp: c[..., M, N] = a[..., M, K] b[..., K, N] + bias; any strides
void matmul(Context& context, const View& c, const View& a, const View& b, const View* bias);

// --- conv.cpp: activations channels-last; weights contiguous, in float32 for activations in half precision

enum class ConvDirection { Forward, BackwardInput, BackwardWeight };
enum class ConvOperand { Input, Gradient };
struct ConvGeometry {
    int64_t stride[2], padding[2], paddingAfter[2], dilation[2], groups;
};
// Whether processor and oneDNN compute it, and rightly; `input` is looked at for weights' gradients alone.
bool convolvesBFloat16(ConvDirection direction, const Dims& input, const Dims& weight,
                       const ConvGeometry& geometry);
// Whether this convolution takes a contiguous input, or gradient of its output, as well, and would only lose
// by a copy.
bool convolvesPlanes(ConvDirection direction, ConvOperand operand, const Dims& input, const Dims& weight,
                     DType dtype, const ConvGeometry& geometry);
void conv2d(Context& context, const View& out, const View& input, const View& weight, const View* bias,
            const ConvGeometry& geometry);
void conv2dBackwardInput(Context& context, const View& gradInput, const View& gradOutput, const View& weight,
                         const ConvGeometry& geometry);
void conv2dBackwardWeight(Context& context, const View& gradWeight, const View* gradBias,
                          const View& gradOutput, const View& input, const ConvGeometry& geometry);
// conv_bias.cpp: out[n, c, y, x] += bias[c]; the bias of a half-precision output is float32.
void addChannelBias(Context& context, const View& out, const View& bias);

// conv2d, batch norm by running statistics, the residual and the ReLU in one pass: where convolvesWithNorm.
// Float32 or bfloat16, channels-last; per-channel views float32 and contiguous.
struct ConvNorm {
    const View *bias, *weight, *shift;  // of the convolution; of the normalisation
    View mean, variance;
    const View* residual;
    double epsilon;
    bool relu;
};
bool convolvesWithNorm(const Dims& input, const Dims& weight, DType dtype, const ConvGeometry& geometry);
// Weights as a convolution with batch norm reads them, to be kept with their storage; `kept` may be null.
std::shared_ptr<Derived> newConvWeights();
void conv2dNorm(Context& context, const View& out, const View& input, const View& weight,
                const ConvNorm& norm, const ConvGeometry& geometry, std::shared_ptr<Derived> kept);

// --- conv_double.cpp: float64, which oneDNN does not have; runs at once, on the engine thread and its team
void convDouble(ConvDirection direction, const View& input, const View& weight, const View& out,
                const View* bias, const ConvGeometry& geometry);

// --- max_pool.cpp, average_pool.cpp: everything channels-last; `indices` hold the tap that was largest in
// each window, as uint8 or int32
struct PoolGeometry {
    bool adaptive;  // windows that share the input out evenly; kernel, stride, padding and dilation are then
                    // unused
    int64_t kernel[2], stride[2], padding[2], dilation[2];
    bool countPadding;
    double divisor;  // instead of the window's size, unless zero
};
void maxPool2d(Context& context, const View& out, const View* indices, const View& input,
               const PoolGeometry& geometry);
void maxPool2dBackward(Context& context, const View& gradInput, const View& gradOutput, const View& indices,
                       const PoolGeometry& geometry);
void averagePool2d(Context& context, const View& out, const View& input, const PoolGeometry& geometry);
void averagePool2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const PoolGeometry& geometry);

// --- interpolate.cpp: channels-last; a scale of 0 stands for input size / output size
struct InterpolateOptions {
    bool linear, alignCorners;
    double scale[2];  // output size / input size, as the caller asked for it
};
void interpolate2d(Context& context, const View& out, const View& input, const InterpolateOptions& options);
void interpolate2dBackward(Context& context, const View& gradInput, const View& gradOutput,
                           const InterpolateOptions& options);

// --- pixel_shuffle.cpp: channels-last, of any dtype; `wide` is [N, C, H r, W r], `deep` [N, C r r, H, W]
void pixelShuffle(Context& context, const View& wide, const View& deep, int64_t factor);
void pixelUnshuffle(Context& context, const View& deep, const View& wide, int64_t factor);

// --- grid_sample.cpp: pictures channels-last, grids [N, H, W, 2] contiguous; float32 or float64
enum class GridBorder { Zeros, Border, Reflection };
struct GridSampleOptions {
    bool nearest, alignCorners;
    GridBorder border;
};
void gridSample(Context& context, const View& out, const View& input, const View& grid,
                const GridSampleOptions& options);
void gridSampleBackwardInput(Context& context, const View& gradInput, const View& gradOutput,
                             const View& grid, const GridSampleOptions& options);
void gridSampleBackwardGrid(Context& context, const View& gradGrid, const View& gradOutput, const View& input,
                            const View& grid, const GridSampleOptions& options);

// --- batch_norm.cpp: [N, C] or channels-last; per-channel views contiguous, in the type computed in
struct BatchNormOptions {
    bool training, relu;
    double momentum, epsilon;
};
struct BatchNormForward {
    View out, mean, inverseDeviation;  // written
    View input;
    const View *weight, *bias, *residual;       // or null
    const View *runningMean, *runningVariance;  // updated when training, else read; null only when training
};
void batchNorm(Context& context, const BatchNormForward& views, const BatchNormOptions& options);
struct BatchNormBackward {
    const View *gradInput, *gradWeight, *gradBias;  // written; null when not wanted (the last two together)
    const View* gradResidual;                       // written where `output` is given: what passed the ReLU
    View gradOutput, input;
    const View* output;  // the ReLU's gate; null: computed again from the input (without residual only)
    const View *weight, *bias;
    View mean, inverseDeviation;
};
void batchNormBackward(Context& context, const BatchNormBackward& views, const BatchNormOptions& options);

// --- layer_norm.cpp: [rows, size] contiguous; statistics [rows] and parameters [size] in the type computed
// in. Gradients of the parameters go together; null where not wanted.
void layerNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, double epsilon);
void layerNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation);

// --- group_norm.cpp: [N, C] or channels-last, not empty; statistics [N, groups]
void groupNorm(Context& context, const View& out, const View& mean, const View& inverseDeviation,
               const View& input, const View* weight, const View* bias, int64_t groups, double epsilon);
void groupNormBackward(Context& context, const View* gradInput, const View* gradWeight, const View* gradBias,
                       const View& gradient, const View& input, const View* weight, const View& mean,
                       const View& inverseDeviation, int64_t groups);

// --- softmax.cpp: dense memory as [outer, size, inner], softmax over the middle
struct SoftmaxShape {
    int64_t outer, size, inner;
};
void softmax(Context& context, const View& out, const View& input, const SoftmaxShape& shape, bool logarithm);
void softmaxBackward(Context& context, const View& gradInput, const View& gradient, const View& output,
                     const SoftmaxShape& shape, bool logarithm);

// --- cross_entropy.cpp: logits [rows, classes] contiguous, labels int64; weights in the type computed in,
// and so `logSums` [rows, 2] (what log-softmax subtracts); the total weight is float64. An unreduced gradient
// has an element per row, else one.
enum class LossReduction { None, Mean, Sum };
struct CrossEntropyOptions {
    LossReduction reduction;
    int64_t ignoreIndex;
    double labelSmoothing;
};
void crossEntropy(Context& context, const View& out, const View& logSums, const View& totalWeight,
                  const View& logits, const View& labels, const View* weight,
                  const CrossEntropyOptions& options);
void crossEntropyBackward(Context& context, const View& gradLogits, const View& gradient, const View& logits,
                          const View& labels, const View* weight, const View& logSums,
                          const View& totalWeight, const CrossEntropyOptions& options);
void crossEntropySoft(Context& context, const View& out, const View& logSums, const View& logits,
                      const View& targets, const View* weight, const CrossEntropyOptions& options);
void crossEntropySoftBackward(Context& context, const View* gradLogits, const View* gradTargets,
                              const View& gradient, const View& logits, const View& targets,
                              const View* weight, const View& logSums, const CrossEntropyOptions& options);
void nllLoss(Context& context, const View& out, const View& totalWeight, const View& logProbabilities,
             const View& labels, const View* weight, const CrossEntropyOptions& options);
void nllLossBackward(Context& context, const View& gradInput, const View& gradient, const View& labels,
                     const View* weight, const View& totalWeight, const CrossEntropyOptions& options);

// --- binary_cross_entropy.cpp: all of one shape, dtype and dense layout
void bceWithLogits(Context& context, const View& out, const View& input, const View& target,
                   const View* weight, const View* positiveWeight, LossReduction reduction);
void bceWithLogitsBackward(Context& context, const View* gradInput, const View* gradTarget,
                           const View& gradient, const View& input, const View& target, const View* weight,
                           const View* positiveWeight, LossReduction reduction);
void binaryCrossEntropy(Context& context, const View& out, const View& input, const View& target,
                        const View* weight, LossReduction reduction);
void binaryCrossEntropyBackward(Context& context, const View* gradInput, const View* gradTarget,
                                const View& gradient, const View& input, const View& target,
                                const View* weight, LossReduction reduction);

// --- dropout.cpp: dense memory of one order; `keep` is the probability that an element survives
void drawMask(Context& context, const View& mask, double keep);
void applyMask(Context& context, const View& out, const View& input, const View& mask, double keep);

}  // namespace anneal::cpu
