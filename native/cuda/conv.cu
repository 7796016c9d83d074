// Convolutions through cuDNN: pictures channels-last, tensor cores, and for each shape the algorithm that was
// fastest when it was first met. Weights come as [out, in, height, width] in the type computed in and are
// brought to the library's order and dtype in one pass. What the library does not do (double precision,
// shapes that none of its algorithms takes) a plain kernel does.
#include <map>
#include <memory>
#include <vector>

#include "cuda/conv_plain.h"
#include "cuda/cudnn.h"
#include "cuda/rows.h"
#include "cuda/settings.h"
#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

using cpu::ConvDirection;
using cpu::ConvGeometry;

constexpr size_t kMostWorkspace = size_t{512} << 20;
constexpr int kMostAlgorithms = 16;

dnn::DataType dataType(DType dtype) {
    switch (dtype) {
        case DType::BFloat16:
            return dnn::kBFloat16;
        case DType::Float16:
            return dnn::kFloat16;
        default:
            return dnn::kFloat32;
    }
}

// A convolution as the library is asked for it: padding is the same on both sides.
struct Problem {
    ConvDirection direction;
    DType dtype;
    int64_t input[4], weight[4], output[4];  // [N, C, H, W], [out, in / groups, height, width]
    int64_t stride[2], padding[2], dilation[2], groups;

    std::vector<int64_t> key(bool fast) const {
        std::vector<int64_t> key{static_cast<int64_t>(direction), static_cast<int64_t>(dtype), fast, groups};
        for (const auto* sizes : {input, weight, output}) key.insert(key.end(), sizes, sizes + 4);
        for (const auto* pair : {stride, padding, dilation}) key.insert(key.end(), pair, pair + 2);
        return key;
    }
};

struct ConvPlan {
    dnn::Tensor x = nullptr, y = nullptr;
    dnn::Filter w = nullptr;
    dnn::Convolution convolution = nullptr;
    int algorithm = 0;
    size_t workspaceBytes = 0;
    bool found = false;

    ConvPlan() = default;
    ConvPlan(const ConvPlan&) = delete;
    ~ConvPlan() {
        const dnn::Functions& f = dnn::functions();
        if (x) f.destroyTensor(x);
        if (y) f.destroyTensor(y);
        if (w) f.destroyFilter(w);
        if (convolution) f.destroyConvolution(convolution);
    }
};

class Convolver {
  public:
    explicit Convolver(CudaRuntime& runtime) : runtime_(runtime) {
        const dnn::Functions& f = dnn::functions();
        dnn::check(f.create(&handle_), "opening it");
        dnn::check(f.setStream(handle_, runtime.stream()), "choosing a stream");
    }
    ~Convolver() {
        plans_.clear();
        dnn::functions().destroy(handle_);
    }

    // False where no algorithm takes it.
    bool run(const Problem& problem, void* x, void* w, void* y) {
        const dnn::Functions& f = dnn::functions();
        const bool fast = problem.dtype == DType::Float32 && allowsTf32();
        std::unique_ptr<ConvPlan>& slot = plans_[problem.key(fast)];
        if (!slot) slot = make(problem, fast, x, w, y);
        const ConvPlan& plan = *slot;
        if (!plan.found) return false;
        const float one = 1, zero = 0;
        void* const workspace = plan.workspaceBytes > 0 ? runtime_.workspace(plan.workspaceBytes) : nullptr;
        switch (problem.direction) {
            case ConvDirection::Forward:
                dnn::check(f.forward(handle_, &one, plan.x, x, plan.w, w, plan.convolution, plan.algorithm,
                                     workspace, plan.workspaceBytes, &zero, plan.y, y),
                           "convolving");
                break;
            case ConvDirection::BackwardInput:
                dnn::check(f.backwardInput(handle_, &one, plan.w, w, plan.y, y, plan.convolution,
                                           plan.algorithm, workspace, plan.workspaceBytes, &zero, plan.x, x),
                           "the gradient of an input");
                break;
            case ConvDirection::BackwardWeight:
                dnn::check(f.backwardWeight(handle_, &one, plan.x, x, plan.y, y, plan.convolution,
                                            plan.algorithm, workspace, plan.workspaceBytes, &zero, plan.w, w),
                           "the gradient of a weight");
                break;
        }
        return true;
    }

  private:
    std::unique_ptr<ConvPlan> make(const Problem& p, bool fast, void* x, void* w, void* y) {
        const dnn::Functions& f = dnn::functions();
        auto plan = std::make_unique<ConvPlan>();
        const auto number = [](int64_t value) { return static_cast<int>(value); };
        const dnn::DataType dtype = dataType(p.dtype);
        dnn::check(f.createTensor(&plan->x), "describing pictures");
        dnn::check(f.createTensor(&plan->y), "describing pictures");
        dnn::check(f.createFilter(&plan->w), "describing a weight");
        dnn::check(f.createConvolution(&plan->convolution), "describing a convolution");
        dnn::Status status = f.setTensor(plan->x, dnn::kChannelsLast, dtype, number(p.input[0]),
                                         number(p.input[1]), number(p.input[2]), number(p.input[3]));
        const auto then = [&](dnn::Status next) { status = status == dnn::kSuccess ? next : status; };
        then(f.setTensor(plan->y, dnn::kChannelsLast, dtype, number(p.output[0]), number(p.output[1]),
                         number(p.output[2]), number(p.output[3])));
        then(f.setFilter(plan->w, dtype, dnn::kChannelsLast, number(p.weight[0]), number(p.weight[1]),
                         number(p.weight[2]), number(p.weight[3])));
        then(f.setConvolution(plan->convolution, number(p.padding[0]), number(p.padding[1]),
                              number(p.stride[0]), number(p.stride[1]), number(p.dilation[0]),
                              number(p.dilation[1]), dnn::kCrossCorrelation, dnn::kFloat32));
        then(f.setGroups(plan->convolution, number(p.groups)));
        const dnn::MathType math = p.dtype != DType::Float32 ? dnn::kTensorMath
                                   : fast                    ? dnn::kDefaultMath
                                                             : dnn::kPlainMath;
        then(f.setMath(plan->convolution, math));
        if (dnn::declines(status)) return plan;
        dnn::check(status, "describing a convolution");
        // Measuring waits for the device, and a failure would be taken for the answer.
        CHECK(!runtime_.capturing(), ErrorKind::Kernel, "algorithms cannot be measured while capturing");
        dnn::Performance all[kMostAlgorithms];
        int found = 0;
        size_t bytes = kMostWorkspace;
        void* const workspace = runtime_.workspaceUpTo(bytes);
        switch (p.direction) {
            case ConvDirection::Forward:
                status = f.findForward(handle_, plan->x, x, plan->w, w, plan->convolution, plan->y, y,
                                       kMostAlgorithms, &found, all, workspace, bytes);
                break;
            case ConvDirection::BackwardInput:
                status = f.findInput(handle_, plan->w, w, plan->y, y, plan->convolution, plan->x, x,
                                     kMostAlgorithms, &found, all, workspace, bytes);
                break;
            case ConvDirection::BackwardWeight:
                status = f.findWeight(handle_, plan->x, x, plan->y, y, plan->convolution, plan->w, w,
                                      kMostAlgorithms, &found, all, workspace, bytes);
                break;
        }
        if (dnn::declines(status)) return plan;
        dnn::check(status, "measuring algorithms");
        // The fastest that gives the same bits each time, else the fastest. All kinds of arithmetic are
        // measured, but float32 must not become TF32: others than that count where there is no better, and
        // are not taken.
        const auto choose = [&](bool exact, bool deterministic) {
            for (int i = 0; i < found && !plan->found; i++) {
                const bool fits = math != dnn::kPlainMath || all[i].math == math;
                if (all[i].status != dnn::kSuccess || fits != exact) continue;
                if (deterministic && all[i].deterministic != 1) continue;
                plan->found = true;
                plan->algorithm = all[i].algorithm;
                plan->workspaceBytes = fits ? all[i].workspaceBytes : bytes;
                dnn::check(f.setMath(plan->convolution, fits ? all[i].math : math),
                           "describing a convolution");
            }
        };
        for (const bool exact : {true, false}) {
            for (const bool deterministic : {true, false}) choose(exact, deterministic);
        }
        return plan;
    }

    CudaRuntime& runtime_;
    dnn::Handle handle_;
    std::map<std::vector<int64_t>, std::unique_ptr<ConvPlan>> plans_;
};

// --- weights: [out, in, taps] in the type computed in, [out, taps, in] in that of the pictures

template <typename To, typename From>
__global__ void turnWeight(To* to, const From* from, int64_t count, int64_t inner, int64_t outer) {
    // `from` as [count / (inner * outer), inner, outer], `to` with the last two exchanged.
    for (int64_t i = globalThread(); i < count; i += globalThreads()) {
        const int64_t a = i % inner, b = i / inner % outer, block = i / (inner * outer);
        to[i] = convertTo<To, From>(from[(block * inner + a) * outer + b]);
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

template <typename T>
__global__ void sumChannels(const T* input, Rows size, double* sums) {
    __shared__ double scratch[kRowThreads][kWarp];
    const int64_t channel = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x, part = blockIdx.y;
    const int64_t begin = size.rows * part / gridDim.y, end = size.rows * (part + 1) / gridDim.y;
    const bool mine = channel < size.channels;
    LongSum<Compute<T>> sum;
    for (int64_t row = begin + threadIdx.y; mine && row < end; row += kRowThreads)
        sum.add(toCompute(input[row * size.channels + channel]));
    sum.flush();
    const double total = sumOverWarps(sum.total, scratch);
    if (mine && threadIdx.y == 0) sums[part * size.channels + channel] = total;
}

template <typename C>
__global__ void joinChannels(C* out, const double* sums, int64_t channels, int parts) {
    for (int64_t c = globalThread(); c < channels; c += globalThreads()) {
        double total = 0;
        for (int64_t p = 0; p < parts; p++) total += sums[p * channels + c];
        out[c] = static_cast<C>(total);
    }
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
    Problem problem{direction, input.dtype, {}, {}, {}, {}, {}, {}, g.groups};
    for (int i = 0; i < 4; i++) {
        problem.input[i] = input.sizes[i];
        problem.weight[i] = weight.sizes[i];
        problem.output[i] = output.sizes[i];
    }
    Placement placement{
        input.sizes[0], input.sizes[2], input.sizes[3], input.sizes[1], input.sizes[2], input.sizes[3], 0, 0};
    for (int i = 0; i < 2; i++) {
        problem.stride[i] = g.stride[i];
        problem.dilation[i] = g.dilation[i];
        problem.padding[i] = pads ? 0 : g.padding[i];
        if (pads) problem.input[2 + i] += g.padding[i] + g.paddingAfter[i];
    }
    placement.bigHeight = problem.input[2];
    placement.bigWidth = problem.input[3];
    placement.top = pads ? g.padding[0] : 0;
    placement.left = pads ? g.padding[1] : 0;
    const int64_t taps = weight.sizes[2] * weight.sizes[3], inner = weight.sizes[1], count = weight.numel();
    const int64_t bigCount = placement.batch * placement.bigHeight * placement.bigWidth * placement.channels;
    // A weight of one tap, or one channel, lies in both orders alike.
    const bool turns = !std::is_same_v<T, C> || (taps > 1 && inner > 1);
    const Tensor turned = context.scratch(turns ? static_cast<size_t>(count) * sizeof(T) : 0);
    const Tensor padded = context.scratch(pads ? static_cast<size_t>(bigCount) * sizeof(T) : 0);
    submit(context, op,
           [=, w = static_cast<T*>(turns ? turned.data() : weight.data),
            big = static_cast<T*>(pads ? padded.data() : input.data)](CudaRuntime& runtime) {
               const cudaStream_t stream = runtime.stream();
               const bool toInput = direction == ConvDirection::BackwardInput;
               if (pads && !toInput) {
                   launch(place<T>, gridFor(bigCount), stream, big, static_cast<const T*>(input.as<T>()),
                          placement, true);
               }
               if (turns && !ofWeight) {
                   launch(turnWeight<T, C>, gridFor(count), stream, w, static_cast<const C*>(weight.as<C>()),
                          count, inner, taps);
               }
               bool done = false;
               if constexpr (!std::is_same_v<T, double>) {
                   done = runtime.attached<Convolver>().run(problem, big, w, output.data);
               }
               if (!done) {
                   convolvePlain<T>(
                       stream, direction, big, w, output.as<T>(),
                       PlainConv::of(problem.input, problem.weight, problem.output, problem.stride,
                                     problem.padding, problem.dilation, problem.groups));
               }
               if (turns && ofWeight) {
                   launch(turnWeight<C, T>, gridFor(count), stream, weight.as<C>(), static_cast<const T*>(w),
                          count, taps, inner);
               }
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
        const Grid parts = rowsGrid(size.rows, size.channels, 1, kSomeBlocks);
        const Tensor scratch =
            context.scratch(parts.blocks.y * static_cast<size_t>(size.channels) * sizeof(double));
        submit(context, "conv2d_backward_bias",
               [=, out = gradBias->as<C>(), gradient = gradOutput.as<const T>(),
                sums = static_cast<double*>(scratch.data())](CudaRuntime& runtime) {
                   launchTogether(sumChannels<T>, parts, runtime.stream(), gradient, size, sums);
                   launch(joinChannels<C>, gridFor(size.channels), runtime.stream(), out,
                          static_cast<const double*>(sums), size.channels, static_cast<int>(parts.blocks.y));
               });
    });
}

}  // namespace anneal::cuda
