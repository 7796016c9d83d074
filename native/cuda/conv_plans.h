#pragma once

#include <memory>
#include <vector>

#include "core/kernels.h"
#include "cuda/cudnn.h"
#include "cuda/runtime.h"

// One convolution of the library's: its description, and the engines that can do it.
namespace anneal::cuda {

using cpu::ConvDirection;

constexpr size_t kMostWorkspace = size_t{512} << 20;

// A convolution as the library is asked for it: padding is the same on both sides.
struct Problem {
    ConvDirection direction;
    DType dtype;
    int64_t input[4], weight[4], output[4];  // [N, C, H, W], [out, in / groups, height, width]
    int64_t stride[2], padding[2], dilation[2], groups;
    bool tf32;  // float32 may be rounded to it
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

// What the library offers, by its own estimate the quickest first; `alignment`: of all three memories, in
// bytes. Empty where it declines.
std::vector<std::unique_ptr<ConvPlan>> convPlans(dnn::Handle handle, const Problem& problem,
                                                 int64_t alignment);

}  // namespace anneal::cuda
