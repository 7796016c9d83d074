#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <vector>

#include "cuda/conv_plans.h"
#include "cuda/settings.h"
#include "cuda/submit.h"

// cuDNN's convolutions of one device: for each shape the plan that was fastest when it was first met.
namespace anneal::cuda {

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
        check(cudaEventCreateWithFlags(&begin_, cudaEventDefault), "creating an event");
        check(cudaEventCreateWithFlags(&end_, cudaEventDefault), "creating an event");
        const char* const measure = std::getenv("ANNEAL_CUDNN_MEASURE");
        measures_ = !measure || measure[0] != '0';
    }
    ~Convolver() {
        for (const Wide& wide : wide_) cudaFree(wide.memory);
        for (float* memory : outgrown_) cudaFree(memory);
        plans_.clear();
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
        dnn::functions().destroy(handle_);
    }

    // False where the library does not do it.
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

    static std::vector<int64_t> keyOf(const Problem& p, const ConvRules& rules) {
        std::vector<int64_t> key{static_cast<int64_t>(p.direction), static_cast<int64_t>(p.dtype), rules.tf32,
                                 rules.alignment, p.groups};
        for (const auto* sizes : {p.input, p.weight, p.output}) key.insert(key.end(), sizes, sizes + 4);
        for (const auto* pair : {p.stride, p.padding, p.dilation}) key.insert(key.end(), pair, pair + 2);
        return key;
    }

    bool runAs(const Problem& problem, bool tf32, void* x, void* w, void* y) {
        // What the least aligned of the three is aligned to.
        int64_t alignment = 16;
        for (const void* memory : {x, w, y}) {
            while (reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(alignment) != 0)
                alignment /= 2;
        }
        const ConvRules rules{tf32, alignment};
        const auto key = keyOf(problem, rules);
        auto found = plans_.find(key);
        if (found == plans_.end()) found = plans_.emplace(key, choose(problem, rules, x, w, y)).first;
        ConvPlan* const plan = found->second.get();
        if (!plan) return false;
        dnn::check(plan->run(handle_, runtime_, x, w, y), "convolving");
        return true;
    }

    // Null where none works. Measured on the memories given: what is to be made is made again by whoever runs
    // the plan.
    std::unique_ptr<ConvPlan> choose(const Problem& problem, const ConvRules& rules, void* x, void* w,
                                     void* y) {
        // Measuring waits for the device, and a failure would be taken for the answer.
        CHECK(!runtime_.capturing(), ErrorKind::Kernel, "algorithms cannot be measured while capturing");
        auto plans = convPlans(handle_, problem, rules);
        // Those that give other bits each time only where there are no others.
        const auto isExact = [](const auto& plan) { return plan->deterministic(); };
        if (std::any_of(plans.begin(), plans.end(), isExact)) std::erase_if(plans, std::not_fn(isExact));
        std::vector<std::pair<float, size_t>> times;
        float best = std::numeric_limits<float>::infinity();
        for (size_t i = 0; i < plans.size(); i++) {
            // The first time may load code, and a clock that rests has to wake up.
            float time = 0;
            if (!timed(*plans[i], x, w, y, time)) continue;
            if (!measures_ || plans.size() == 1) return std::move(plans[i]);
            if (time < 4 * best && !timed(*plans[i], x, w, y, time)) continue;
            best = std::min(best, time);
            times.emplace_back(time, i);
        }
        if (times.empty()) return nullptr;
        std::sort(times.begin(), times.end());
        constexpr size_t kFinalists = 4;
        constexpr int kRounds = 3;
        times.resize(std::min(times.size(), kFinalists));
        for (int round = 0; round < kRounds; round++) {
            for (auto& [least, i] : times) {
                float time = 0;
                if (timed(*plans[i], x, w, y, time)) least = round == 0 ? time : std::min(least, time);
            }
        }
        return std::move(plans[std::min_element(times.begin(), times.end())->second]);
    }

    // In milliseconds; false if it does not run.
    bool timed(ConvPlan& plan, void* x, void* w, void* y, float& time) {
        if (plan.workspaceBytes() > 0) {
            size_t bytes = plan.workspaceBytes();
            runtime_.workspaceUpTo(bytes);
            if (bytes < plan.workspaceBytes()) return false;  // there is no memory for it
        }
        check(cudaEventRecord(begin_, runtime_.stream()), "recording an event");
        if (plan.run(handle_, runtime_, x, w, y) != dnn::kSuccess) return false;
        check(cudaEventRecord(end_, runtime_.stream()), "recording an event");
        check(cudaEventSynchronize(end_), "waiting");
        check(cudaEventElapsedTime(&time, begin_, end_), "measuring");
        return true;
    }

    CudaRuntime& runtime_;
    dnn::Handle handle_;
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
    bool measures_ = true;
    std::map<std::vector<int64_t>, std::unique_ptr<ConvPlan>> plans_;
    Wide wide_[3];  // input, weight, output
    std::vector<float*> outgrown_;
};

}  // namespace anneal::cuda
