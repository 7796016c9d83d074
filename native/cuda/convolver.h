#pragma once

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cuda/conv_narrow.h"
#include "cuda/conv_plans.h"
#include "cuda/conv_wide.h"
#include "cuda/submit.h"

// Convolutions of one device: for each shape the plan of cuDNN's, or the kernel of our own, that was fastest
// when it was first met.
namespace anneal::cuda {

class Convolver {
  public:
    explicit Convolver(CudaRuntime& runtime) : runtime_(runtime), wide_(runtime) {
        const dnn::Functions& f = dnn::functions();
        dnn::Status status = f.create(&handle_);
        if (status != dnn::kSuccess && runtime.reclaim()) status = f.create(&handle_);
        dnn::check(status, "opening it");
        dnn::check(f.setStream(handle_, runtime.stream()), "choosing a stream");
        check(cudaEventCreateWithFlags(&begin_, cudaEventDefault), "creating an event");
        check(cudaEventCreateWithFlags(&end_, cudaEventDefault), "creating an event");
        const char* const measure = std::getenv("ANNEAL_CUDNN_MEASURE");
        measures_ = !measure || measure[0] != '0';
    }
    ~Convolver() {
        choices_.clear();
        cudaEventDestroy(begin_);
        cudaEventDestroy(end_);
        dnn::functions().destroy(handle_);
    }

    // False where neither does it.
    template <typename T>
    bool run(const Problem& problem, T* x, T* w, T* y) {
        if (runAs(problem, x, w, y)) return true;
        if constexpr (kIsHalf<T>) {
            return wide_.run(problem, x, w, y, [&](const Problem& inFloat, float* x, float* w, float* y) {
                return runAs(inFloat, x, w, y);
            });
        }
        return false;
    }

  private:
    // What was chosen for a shape: a plan, our own kernel for few channels, or nothing.
    struct Choice {
        std::unique_ptr<ConvPlan> plan;
        bool narrow = false;
        bool lacked = false;  // memory, for something that may be quicker
        uint64_t uses = 0, next = 16;
    };

    // What lacked memory is chosen anew after a while, and each time after twice as long: there may be more
    // by then.
    bool isDue(Choice& choice) {
        if (choice.plan && !runtime_.hasWorkspace(choice.plan->workspaceBytes())) return true;
        return choice.lacked && ++choice.uses > choice.next && !runtime_.capturing();
    }

    template <typename T>
    bool runAs(Problem problem, T* x, T* w, T* y) {
        // What the least aligned of the three is aligned to.
        for (const void* memory : {x, w, y}) {
            while (reinterpret_cast<uintptr_t>(memory) % static_cast<uintptr_t>(problem.alignment) != 0)
                problem.alignment /= 2;
        }
        auto found = choices_.find(problem);
        if (found == choices_.end() || isDue(found->second)) {
            std::optional<Choice> choice = choose(problem, x, w, y);
            if (!choice) return false;
            if (found != choices_.end()) choice->next = 2 * found->second.next;
            found = choices_.insert_or_assign(problem, std::move(*choice)).first;
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
        const size_t bytes = narrowScratch(problem.direction, problem.shape);
        if (!runtime_.hasWorkspace(bytes)) return false;
        convolveNarrow<T>(runtime_.stream(), problem.direction, x, w, y, problem.shape,
                          runtime_.workspace(bytes));
        return true;
    }

    // Measured on the memories given: what is to be made is made again by whoever runs what was chosen.
    // Nothing where none works at the moment, for want of memory say, though another time one may.
    template <typename T>
    std::optional<Choice> choose(const Problem& problem, T* x, T* w, T* y) {
        // Measuring waits for the device, and a failure would be taken for the answer.
        CHECK(!runtime_.capturing(), ErrorKind::Kernel, "algorithms cannot be measured while capturing");
        auto plans = convPlans(handle_, problem);
        const bool narrow = narrowFits(problem.direction, problem.shape);
        // Those that give other bits each time only where there are no others.
        const auto isExact = [](const auto& plan) { return plan->deterministic(); };
        if (narrow || std::any_of(plans.begin(), plans.end(), isExact))
            plans.erase(std::remove_if(plans.begin(), plans.end(), std::not_fn(isExact)), plans.end());
        const size_t count = plans.size() + (narrow ? 1 : 0);
        bool decided = true, lacked = false;
        const auto tried = [&](size_t i) {
            const bool fits = i == plans.size() ? runNarrow(problem, x, w, y)
                                                : runtime_.hasWorkspace(plans[i]->workspaceBytes());
            lacked = lacked || !fits;
            if (!fits) return decided = false;
            if (i == plans.size()) return true;
            const dnn::Status status = plans[i]->run(handle_, runtime_, x, w, y);
            if (status != dnn::kSuccess && !dnn::declines(status)) decided = false;
            return status == dnn::kSuccess;
        };
        const auto chosen = [&](size_t i) {
            Choice choice{nullptr, i == plans.size(), lacked};
            if (!choice.narrow) choice.plan = std::move(plans[i]);
            return choice;
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
    std::unordered_map<Problem, Choice, ProblemHash> choices_;
    WideConvolution wide_;
};

}  // namespace anneal::cuda
