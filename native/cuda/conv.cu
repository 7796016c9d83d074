// Convolutions through cuDNN: pictures channels-last, tensor cores, and for each shape the algorithm that was
// fastest when it was first met. Weights come as [out, in, height, width] in the type computed in and are
// brought to the library's order and dtype in one pass. What the library does not do in half precision it
// does in float32, and what it does not do at all (double precision, shapes that none of its algorithms
// takes) a plain kernel does.
#include "cuda/conv_plain.h"
#include "cuda/convolver.h"
#include "cuda/rows.h"
#include "cuda/settings.h"

namespace anneal::cuda {

namespace {

using cpu::ConvGeometry;

// --- weights: [out, in, taps] in the type computed in, [out, taps, in] in that of the pictures

// `from` as [count / (inner * outer), inner, outer], `to` with the last two exchanged; added to what is there
// where `adds`.
template <typename To, typename From>
__global__ void turnWeight(To* to, const From* from, int64_t count, int64_t inner, int64_t outer, bool adds) {
    for (int64_t i = globalThread(); i < count; i += globalThreads()) {
        const int64_t a = i % inner, b = i / inner % outer, block = i / (inner * outer);
        const To value = convertTo<To, From>(from[(block * inner + a) * outer + b]);
        to[i] = adds ? fromCompute<To>(toCompute(to[i]) + toCompute(value)) : value;
    }
}

// --- pictures with other paddings at either side

struct Placement {
    int64_t batch, height, width, channels;  // of the smaller pictures
    int64_t bigHeight, bigWidth, top, left;
};

// Into the larger pictures, with zeros around (enlarge), or the smaller ones out of them.
template <typename T>
__global__ void place(T* to, const T* from, Placement p, bool enlarge) {
    const int64_t height = enlarge ? p.bigHeight : p.height, width = enlarge ? p.bigWidth : p.width;
    const int64_t total = p.batch * height * width * p.channels;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t c = i % p.channels, pixel = i / p.channels;
        const int64_t x = pixel % width, y = pixel / width % height, n = pixel / width / height;
        if (enlarge) {
            const int64_t sx = x - p.left, sy = y - p.top;
            const bool inside = sx >= 0 && sx < p.width && sy >= 0 && sy < p.height;
            to[i] = inside ? from[((n * p.height + sy) * p.width + sx) * p.channels + c] : T{};
        } else {
            to[i] = from[((n * p.bigHeight + y + p.top) * p.bigWidth + x + p.left) * p.channels + c];
        }
    }
}

// --- biases

template <typename T>
__global__ void addBias(T* out, const Compute<T>* bias, int64_t count, int64_t channels) {
    for (int64_t i = globalThread(); i < count; i += globalThreads())
        out[i] = fromCompute<T>(toCompute(out[i]) + bias[i % channels]);
}

template <typename T, int together>
__global__ void sumChannels(const T* input, Rows size, double* sums) {
    const int64_t c = firstChannel<together>();
    sumPart<1, together, Compute<T>>(size, sums, [&](int64_t row, auto& sum) {
        Compute<T> x[together];
        loadPack(input + row * size.channels + c, x);
#pragma unroll
        for (int k = 0; k < together; k++) sum[0][k] += x[k];
    });
}

template <typename C>
__global__ void joinChannels(C* out, const double* sums, int64_t channels, int parts) {
    __shared__ double scratch[kThreads];
    const int64_t c = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
    double total = 0;
    for (int64_t p = threadIdx.y; c < channels && p < parts; p += blockDim.y) total += sums[p * channels + c];
    total = joinSlices(total, scratch, Plus{});
    if (c < channels && threadIdx.y == 0) out[c] = static_cast<C>(total);
}

// How many of a batch's pictures go to the library at once: in parts as even as may be, where all have more
// elements than it counts.
int64_t picturesAtOnce(const ConvShape& shape) {
    const int64_t batch = std::max<int64_t>(shape.input[0], 1);
    const int64_t each =
        std::max({elements(shape.input) / batch, elements(shape.output) / batch, int64_t{1}});
    const int64_t most = std::max<int64_t>(kMostElements / each, 1), parts = (batch + most - 1) / most;
    return (batch + parts - 1) / parts;
}

bool lopsided(const ConvGeometry& g) {
    return g.padding[0] != g.paddingAfter[0] || g.padding[1] != g.paddingAfter[1];
}

// What all three directions do around the library's call.
template <typename T>
void enqueueConv(Context& context, const char* op, ConvDirection direction, const View& input,
                 const View& weight, const View& output, const ConvGeometry& g) {
    using C = Compute<T>;
    const bool pads = lopsided(g), ofWeight = direction == ConvDirection::BackwardWeight;
    const bool tf32 = input.dtype == DType::Float32 && allowsTf32();
    Problem problem{direction, input.dtype, tf32, {}};
    ConvShape& shape = problem.shape;
    shape.groups = g.groups;
    for (int i = 0; i < 4; i++) {
        shape.input[i] = input.sizes[i];
        shape.weight[i] = weight.sizes[i];
        shape.output[i] = output.sizes[i];
    }
    Placement placement{
        input.sizes[0], input.sizes[2], input.sizes[3], input.sizes[1], input.sizes[2], input.sizes[3], 0, 0};
    for (int i = 0; i < 2; i++) {
        shape.stride[i] = g.stride[i];
        shape.dilation[i] = g.dilation[i];
        shape.padding[i] = pads ? 0 : g.padding[i];
        if (pads) shape.input[2 + i] += g.padding[i] + g.paddingAfter[i];
    }
    placement.bigHeight = shape.input[2];
    placement.bigWidth = shape.input[3];
    placement.top = pads ? g.padding[0] : 0;
    placement.left = pads ? g.padding[1] : 0;
    const int64_t taps = weight.sizes[2] * weight.sizes[3], inner = weight.sizes[1], count = weight.numel();
    const int64_t bigCount = placement.batch * placement.bigHeight * placement.bigWidth * placement.channels;
    const int64_t batch = shape.input[0], atOnce = picturesAtOnce(shape);
    // A weight of one tap, or one channel, lies in both orders alike; gradients of parts are added on the
    // way.
    const bool turns = !std::is_same_v<T, C> || (taps > 1 && inner > 1) || (ofWeight && atOnce < batch);
    const Tensor turned = context.scratch(turns ? static_cast<size_t>(count) * sizeof(T) : 0);
    const Tensor padded = context.scratch(pads ? static_cast<size_t>(bigCount) * sizeof(T) : 0);
    submit(context, op,
           [=, shape = problem.shape, w = static_cast<T*>(turns ? turned.data() : weight.data),
            big = static_cast<T*>(pads ? padded.data() : input.data)](CudaRuntime& runtime) {
               const cudaStream_t stream = runtime.stream();
               const bool toInput = direction == ConvDirection::BackwardInput;
               if (pads && !toInput) {
                   launch(place<T>, gridFor(bigCount), stream, big, static_cast<const T*>(input.as<T>()),
                          placement, true);
               }
               if (turns && !ofWeight) {
                   launch(turnWeight<T, C>, gridFor(count), stream, w, static_cast<const C*>(weight.as<C>()),
                          count, inner, taps, false);
               }
               Problem part = problem;
               int64_t first = 0;
               do {
                   part.shape.input[0] = part.shape.output[0] = std::min(atOnce, batch - first);
                   T* const x = big + first * shape.input[1] * shape.input[2] * shape.input[3];
                   T* const y = output.as<T>() + first * shape.output[1] * shape.output[2] * shape.output[3];
                   bool done = false;
                   if constexpr (!std::is_same_v<T, double>) {
                       done = runtime.attached<Convolver>().run(part, x, w, y);
                   }
                   if (!done) convolvePlain<T>(stream, direction, x, w, y, part.shape);
                   if (turns && ofWeight) {
                       launch(turnWeight<C, T>, gridFor(count), stream, weight.as<C>(),
                              static_cast<const T*>(w), count, taps, inner, first > 0);
                   }
                   first += atOnce;
               } while (first < batch);
               if (pads && toInput) {
                   launch(place<T>, gridFor(input.numel()), stream, input.as<T>(), static_cast<const T*>(big),
                          placement, false);
               }
           });
}

}  // namespace

void addChannelBias(Context& context, const View& out, const View& bias) {
    submit(context, "addChannelBias", [=](CudaRuntime& runtime) {
        dispatchFloating(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            launch(addBias<T>, gridFor(out.numel()), runtime.stream(), out.as<T>(),
                   bias.as<const Compute<T>>(), out.numel(), bias.sizes[0]);
        });
    });
}

void conv2d(Context& context, const View& out, const View& input, const View& weight, const View* bias,
            const ConvGeometry& geometry) {
    dispatchFloating(input.dtype, [&](auto tag) {
        enqueueConv<typename decltype(tag)::type>(context, "conv2d", ConvDirection::Forward, input, weight,
                                                  out, geometry);
    });
    if (bias) addChannelBias(context, out, *bias);
}

void conv2dBackwardInput(Context& context, const View& gradInput, const View& gradOutput, const View& weight,
                         const ConvGeometry& geometry) {
    dispatchFloating(gradInput.dtype, [&](auto tag) {
        enqueueConv<typename decltype(tag)::type>(context, "conv2d_backward_input",
                                                  ConvDirection::BackwardInput, gradInput, weight, gradOutput,
                                                  geometry);
    });
}

void conv2dBackwardWeight(Context& context, const View& gradWeight, const View* gradBias,
                          const View& gradOutput, const View& input, const ConvGeometry& geometry) {
    dispatchFloating(input.dtype, [&](auto tag) {
        using T = typename decltype(tag)::type;
        using C = Compute<T>;
        enqueueConv<T>(context, "conv2d_backward_weight", ConvDirection::BackwardWeight, input, gradWeight,
                       gradOutput, geometry);
        if (!gradBias) return;
        const Rows size{gradOutput.numel() / gradOutput.sizes[1], gradOutput.sizes[1]};
        const bool packed = packable<T>(size.channels, kWidest<T>, gradOutput.as<const T>());
        const Grid parts = rowsGrid(size.rows, size.channels, packed ? kWidest<T> : 1, kSomeBlocks);
        const Tensor scratch =
            context.scratch(parts.blocks.y * static_cast<size_t>(size.channels) * sizeof(double));
        submit(context, "conv2d_backward_bias",
               [=, out = gradBias->as<C>(), gradient = gradOutput.as<const T>(),
                sums = static_cast<double*>(scratch.data())](CudaRuntime& runtime) {
                   launchTogether(packed ? sumChannels<T, kWidest<T>> : sumChannels<T, 1>, parts,
                                  runtime.stream(), gradient, size, sums);
                   launchTogether(joinChannels<C>, joinGrid(size.channels, parts.blocks.y), runtime.stream(),
                                  out, static_cast<const double*>(sums), size.channels,
                                  static_cast<int>(parts.blocks.y));
               });
    });
}

}  // namespace anneal::cuda
