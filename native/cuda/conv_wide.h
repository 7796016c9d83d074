#pragma once

#include <algorithm>
#include <vector>

#include "cuda/conv_plans.h"
#include "cuda/submit.h"

namespace anneal::cuda {

template <typename To, typename From>
__global__ void convertAll(To* to, const From* from, int64_t count) {
    for (int64_t i = globalThread(); i < count; i += globalThreads()) to[i] = convertTo<To, From>(from[i]);
}

// What the library does not do in half precision, done in float32, whose TF32 holds all digits of either kind
// of it.
class WideConvolution {
  public:
    explicit WideConvolution(CudaRuntime& runtime) : runtime_(runtime) {}

    // convolve(problem, x, w, y) is to do it in float32. False where that does not, or there is no memory.
    template <typename T, typename Convolve>
    bool run(Problem problem, T* x, T* w, T* y, const Convolve& convolve) {
        problem.dtype = DType::Float32;
        problem.tf32 = true;
        T* const given[3] = {x, w, y};
        const ConvShape& shape = problem.shape;
        const int64_t counts[3] = {elements(shape.input), elements(shape.weight), elements(shape.output)};
        const int made = problem.direction == ConvDirection::Forward         ? 2
                         : problem.direction == ConvDirection::BackwardInput ? 0
                                                                             : 1;
        constexpr Workspace kPurposes[3] = {Workspace::WideInput, Workspace::WideWeight,
                                            Workspace::WideOutput};
        float* wide[3];
        for (int i = 0; i < 3; i++) {
            const size_t bytes = static_cast<size_t>(counts[i]) * sizeof(float);
            if (!runtime_.hasWorkspace(bytes, kPurposes[i])) return false;
            wide[i] = static_cast<float*>(runtime_.workspace(bytes, kPurposes[i]));
            if (i == made) continue;
            launch(convertAll<float, T>, gridFor(counts[i]), runtime_.stream(), wide[i],
                   static_cast<const T*>(given[i]), counts[i]);
        }
        if (!convolve(problem, wide[0], wide[1], wide[2])) return false;
        launch(convertAll<T, float>, gridFor(counts[made]), runtime_.stream(), given[made],
               static_cast<const float*>(wide[made]), counts[made]);
        return true;
    }

  private:
    CudaRuntime& runtime_;
};

}  // namespace anneal::cuda
