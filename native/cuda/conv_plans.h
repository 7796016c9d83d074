#pragma once

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "core/kernels.h"
#include "cuda/conv_shape.h"
#include "cuda/cudnn.h"
#include "cuda/runtime.h"

// One convolution of the library's: its description, and the engines that can do it.
namespace anneal::cuda {

using cpu::ConvDirection;

constexpr size_t kMostWorkspace = size_t{512} << 20;

// A convolution as the library is asked for it.
struct Problem {
    ConvDirection direction;
    DType dtype;
    bool tf32;  // float32 may be rounded to it
    ConvShape shape;
    int64_t alignment = 16;  // bytes that all three memories are aligned to

    bool operator==(const Problem& other) const {
        return direction == other.direction && dtype == other.dtype && tf32 == other.tf32 &&
               shape == other.shape && alignment == other.alignment;
    }
};

struct ProblemHash {
    size_t operator()(const Problem& problem) const {
        size_t hash = static_cast<size_t>(problem.direction) * 64 + static_cast<size_t>(problem.dtype) * 2 +
                      problem.tf32;
        const auto mix = [&](const auto&... sizes) {
            const auto add = [&](int64_t size) {
                hash = (hash ^ static_cast<size_t>(size)) * size_t{0x9e3779b97f4a7c15};
            };
            (std::for_each(std::begin(sizes), std::end(sizes), add), ...);
        };
        const ConvShape& s = problem.shape;
        mix(s.input, s.weight, s.output, s.stride, s.padding, s.dilation);
        return hash ^ static_cast<size_t>(s.groups * 16 + problem.alignment);
    }
};

// An engine with its settings, ready to run on any three memories.
class ConvPlan {
  public:
    ConvPlan(dnn::Node plan, size_t workspaceBytes, bool deterministic)
        : plan_(std::move(plan)), workspaceBytes_(workspaceBytes), deterministic_(deterministic) {}

    dnn::Status run(dnn::Handle handle, CudaRuntime& runtime, void* x, void* w, void* y);
    size_t workspaceBytes() const { return workspaceBytes_; }
    bool deterministic() const { return deterministic_; }

  private:
    dnn::Node plan_, pack_;
    size_t workspaceBytes_;
    bool deterministic_;
    void* packed_[4] = {};  // what `pack_` is about
};

// What the library offers, by its own estimate the quickest first. Empty where it declines.
std::vector<std::unique_ptr<ConvPlan>> convPlans(dnn::Handle handle, const Problem& problem);

}  // namespace anneal::cuda
