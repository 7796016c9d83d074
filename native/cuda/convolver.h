#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "cuda/conv_narrow.h"
#include "cuda/conv_plans.h"
#include "cuda/submit.h"

// Convolutions of one device: for each shape the plan of cuDNN's, or the kernel of our own, that was fastest
// when it was first met.
namespace anneal::cuda {

inline int64_t product(const int64_t (&sizes)[4]) { return sizes[0] * sizes[1] * sizes[2] * sizes[3]; }

inline PlainConv plainOf(const Problem& p) {
    return PlainConv::of(p.input, p.weight, p.output, p.stride, p.padding, p.dilation, p.groups);
}

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
        choices_.clear();
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
        dnn::functions().destroy(handle_);
    }

    // False where neither does it.
    template <typename T>
    bool run(const Problem& problem, T* x, T* w, T* y) {
        if (runAs(problem, x, w, y)) return true;
        if constexpr (kIsHalf<T>) return runWide(problem, x, w, y);
        return false;
    }

  private:
    // In float32, whose TF32 holds all digits of either kind of half precision.
    template <typename T>
    bool runWide(Problem problem, T* x, T* w, T* y) {
        problem.dtype = DType::Float32;
        problem.tf32 = true;
        T* const given[3] = {x, w, y};
        const int64_t counts[3] = {product(problem.input), product(problem.weight), product(problem.output)};
        const int made = problem.direction == ConvDirection::Forward         ? 2
                         : problem.direction == ConvDirection::BackwardInput ? 0
                                                                             : 1;
        float* wide[3];
        for (int i = 0; i < 3; i++) {
            wide[i] = wideMemory(wide_[i], counts[i]);
            if (!wide[i]) return false;
            if (i == made) continue;
            launch(convertAll<float, T>, gridFor(counts[i]), runtime_.stream(), wide[i],
                   static_cast<const T*>(given[i]), counts[i]);
        }
        if (!runAs(problem, wide[0], wide[1], wide[2])) return false;
        launch(convertAll<T, float>, gridFor(counts[made]), runtime_.stream(), given[made],
               static_cast<const float*>(wide[made]), counts[made]);
        return true;
    }

    struct Wide {
        float* memory = nullptr;
        int64_t count = 0;
    };
    // Null where there is no memory for it.
    float* wideMemory(Wide& wide, int64_t count) {
        if (count <= wide.count) return wide.memory;
        CHECK(!runtime_.capturing(), ErrorKind::Kernel, "a convolution asks for more memory than before");
        // What was captured goes on using what there was; it grows by half, so that this stays little.
        for (const int64_t next : {std::max(count, wide.count + wide.count / 2), count}) {
            void* memory = nullptr;
            const cudaError_t status = cudaMalloc(&memory, static_cast<size_t>(next) * sizeof(float));
            if (status == cudaErrorMemoryAllocation) {
                cudaGetLastError();
                continue;
            }
            check(status, "allocating memory for half precision");
            if (wide.memory) outgrown_.push_back(wide.memory);
            wide = {static_cast<float*>(memory), next};
            return wide.memory;
        }
        return nullptr;
    }

    static std::vector<int64_t> keyOf(const Problem& p, int64_t alignment) {
        std::vector<int64_t> key{static_cast<int64_t>(p.direction), static_cast<int64_t>(p.dtype), p.tf32,
                                 alignment, p.groups};
        for (const auto* sizes : {p.input, p.weight, p.output}) key.insert(key.end(), sizes, sizes + 4);
        for (const auto* pair : {p.stride, p.padding, p.dilation}) key.insert(key.end(), pair, pair + 2);
        return key;
    }

    // What was chosen for a shape: a plan, our own kernel for few channels, or nothing.
    struct Choice {
        std::unique_ptr<ConvPlan> plan;
        bool narrow = false;
    };

    template <typename T>
    bool runAs(const Problem& problem, T* x, T* w, T* y) {
        // What the least aligned of the three is aligned to.
        int64_t alignment = 16;
        for (const void* memory : {x, w, y}) {
            while (reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(alignment) != 0)
                alignment /= 2;
        }
        const auto key = keyOf(problem, alignment);
        auto found = choices_.find(key);
        if (found == choices_.end()) {
            std::optional<Choice> choice = choose(problem, alignment, x, w, y);
            if (!choice) return false;
            found = choices_.emplace(key, std::move(*choice)).first;
        }
        const Choice& choice = found->second;
        if (choice.narrow) return runNarrow(problem, x, w, y);
        if (!choice.plan) return false;
        dnn::check(choice.plan->run(handle_, runtime_, x, w, y), "convolving");
        return true;
    }

    // False where there is no memory for it.
    template <typename T>
    bool runNarrow(const Problem& problem, T* x, T* w, T* y) {
        const PlainConv geometry = plainOf(problem);
        const size_t bytes = narrowScratch(problem.direction, geometry);
        if (!runtime_.hasWorkspace(bytes)) return false;
        convolveNarrow<T>(runtime_.stream(), problem.direction, x, w, y, geometry, runtime_.workspace(bytes));
        return true;
    }

    // Measured on the memories given: what is to be made is made again by whoever runs what was chosen.
    // Nothing where none works at the moment, for want of memory say, though another time one may.
    template <typename T>
    std::optional<Choice> choose(const Problem& problem, int64_t alignment, T* x, T* w, T* y) {
        // Measuring waits for the device, and a failure would be taken for the answer.
        CHECK(!runtime_.capturing(), ErrorKind::Kernel, "algorithms cannot be measured while capturing");
        auto plans = convPlans(handle_, problem, alignment);
        const bool narrow = narrowFits(problem.direction, plainOf(problem));
        // Those that give other bits each time only where there are no others.
        const auto isExact = [](const auto& plan) { return plan->deterministic(); };
        if (narrow || std::any_of(plans.begin(), plans.end(), isExact))
            std::erase_if(plans, std::not_fn(isExact));
        const size_t count = plans.size() + (narrow ? 1 : 0);
        bool decided = true;
        const auto tried = [&](size_t i) {
            if (i == plans.size()) return runNarrow(problem, x, w, y) || (decided = false);
            if (!runtime_.hasWorkspace(plans[i]->workspaceBytes())) return decided = false;
            const dnn::Status status = plans[i]->run(handle_, runtime_, x, w, y);
            if (status != dnn::kSuccess && !dnn::declines(status)) decided = false;
            return status == dnn::kSuccess;
        };
        const auto chosen = [&](size_t i) {
            return i == plans.size() ? Choice{nullptr, true} : Choice{std::move(plans[i]), false};
        };
        std::vector<std::pair<float, size_t>> times;
        float best = std::numeric_limits<float>::infinity();
        for (size_t i = 0; i < count; i++) {
            // The first time loads code, makes the workspace and wakes the clock up.
            if (!tried(i)) continue;
            if (!measures_ || count == 1) return chosen(i);
            const float time = timed([&] { tried(i); });
            if (time >= 4 * best) continue;
            best = std::min(best, time);
            times.emplace_back(time, i);
        }
        if (times.empty()) return decided ? std::optional<Choice>(Choice{}) : std::nullopt;
        std::sort(times.begin(), times.end());
        constexpr size_t kFinalists = 4;
        constexpr int kRounds = 3;
        times.resize(std::min(times.size(), kFinalists));
        for (int round = 0; round < kRounds; round++) {
            for (auto& [least, i] : times) {
                const float time = timed([&, number = i] { tried(number); });
                least = round == 0 ? time : std::min(least, time);
            }
        }
        return chosen(std::min_element(times.begin(), times.end())->second);
    }

    // What it launches, in milliseconds.
    template <typename Run>
    float timed(const Run& run) {
        float time = 0;
        check(cudaEventRecord(begin_, runtime_.stream()), "recording an event");
        run();
        check(cudaEventRecord(end_, runtime_.stream()), "recording an event");
        check(cudaEventSynchronize(end_), "waiting");
        check(cudaEventElapsedTime(&time, begin_, end_), "measuring");
        return time;
    }

    CudaRuntime& runtime_;
    dnn::Handle handle_;
    cudaEvent_t begin_ = nullptr, end_ = nullptr;
    bool measures_ = true;
    std::map<std::vector<int64_t>, Choice> choices_;
    Wide wide_[3];  // input, weight, output
    std::vector<float*> outgrown_;
};

}  // namespace anneal::cuda
