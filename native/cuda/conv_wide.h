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
    ~WideConvolution() {
        for (const Wide& wide : wide_) cudaFree(wide.memory);
        for (float* memory : outgrown_) cudaFree(memory);
    }

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
        float* wide[3];
        for (int i = 0; i < 3; i++) {
            wide[i] = memoryFor(wide_[i], counts[i]);
            if (!wide[i]) return false;
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
    struct Wide {
        float* memory = nullptr;
        int64_t count = 0;
    };
    // Null where there is no memory for it.
    float* memoryFor(Wide& wide, int64_t count) {
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

    CudaRuntime& runtime_;
    Wide wide_[3];  // input, weight, output
    std::vector<float*> outgrown_;
};

}  // namespace anneal::cuda
