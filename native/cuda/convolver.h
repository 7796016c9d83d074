#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "cuda/cudnn.h"
#include "cuda/settings.h"
#include "cuda/submit.h"

// cuDNN's convolutions of one device: for each shape the algorithm that was fastest when it was first met.
namespace anneal::cuda {

using cpu::ConvDirection;

constexpr size_t kMostWorkspace = size_t{512} << 20;
constexpr int kMostAlgorithms = 16;

inline dnn::DataType dataType(DType dtype) {
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

inline int64_t product(const int64_t (&sizes)[4]) { return sizes[0] * sizes[1] * sizes[2] * sizes[3]; }

template <typename To, typename From>
__global__ void convertAll(To* to, const From* from, int64_t count) {
    for (int64_t i = globalThread(); i < count; i += globalThreads()) to[i] = convertTo<To, From>(from[i]);
}

class Convolver {
  public:
    explicit Convolver(CudaRuntime& runtime) : runtime_(runtime) {
        const dnn::Functions& f = dnn::functions();
        dnn::check(f.create(&handle_), "opening it");
        dnn::check(f.setStream(handle_, runtime.stream()), "choosing a stream");
    }
    ~Convolver() {
        for (const Wide& wide : wide_) cudaFree(wide.memory);
        for (float* memory : outgrown_) cudaFree(memory);
        plans_.clear();
        dnn::functions().destroy(handle_);
    }

    // False where no algorithm takes it.
    template <typename T>
    bool run(const Problem& problem, T* x, T* w, T* y) {
        const bool fast = problem.dtype == DType::Float32 && allowsTf32();
        if (runAs(problem, fast, x, w, y)) return true;
        if constexpr (kIsHalf<T>) return runWide(problem, x, w, y);
        return false;
    }

  private:
    // In float32, whose TF32 holds all digits of either kind of half precision.
    template <typename T>
    bool runWide(Problem problem, T* x, T* w, T* y) {
        problem.dtype = DType::Float32;
        T* const given[3] = {x, w, y};
        const int64_t counts[3] = {product(problem.input), product(problem.weight), product(problem.output)};
        const int made = problem.direction == ConvDirection::Forward         ? 2
                         : problem.direction == ConvDirection::BackwardInput ? 0
                                                                             : 1;
        float* wide[3];
        for (int i = 0; i < 3; i++) {
            wide[i] = wideMemory(wide_[i], counts[i]);
            if (i == made) continue;
            launch(convertAll<float, T>, gridFor(counts[i]), runtime_.stream(), wide[i],
                   static_cast<const T*>(given[i]), counts[i]);
        }
        if (!runAs(problem, true, wide[0], wide[1], wide[2])) return false;
        launch(convertAll<T, float>, gridFor(counts[made]), runtime_.stream(), given[made],
               static_cast<const float*>(wide[made]), counts[made]);
        return true;
    }

    struct Wide {
        float* memory = nullptr;
        int64_t count = 0;
    };
    float* wideMemory(Wide& wide, int64_t count) {
        if (count > wide.count) {
            CHECK(!runtime_.capturing(), ErrorKind::Kernel, "a convolution asks for more memory than before");
            // What was captured goes on using what there was; it grows by half, so that this stays little.
            const int64_t next = std::max(count, wide.count + wide.count / 2);
            void* memory = nullptr;
            check(cudaMalloc(&memory, static_cast<size_t>(next) * sizeof(float)),
                  "allocating memory for half precision");
            if (wide.memory) outgrown_.push_back(wide.memory);
            wide = {static_cast<float*>(memory), next};
        }
        return wide.memory;
    }

    bool runAs(const Problem& problem, bool fast, void* x, void* w, void* y) {
        const dnn::Functions& f = dnn::functions();
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
    Wide wide_[3];  // input, weight, output
    std::vector<float*> outgrown_;
};

}  // namespace anneal::cuda
