#pragma once

#include <optional>

#include "core/tensor.h"

namespace anneal::ops {

// Kernels take optional operands by pointer: this holds the view that such a pointer points to.
class OptionalView {
  public:
    explicit OptionalView(const std::optional<Tensor>& tensor) : given_(tensor.has_value()) {
        if (given_) view_ = tensor->view();
    }
    const View* get() const { return given_ ? &view_ : nullptr; }

  private:
    bool given_;
    View view_;
};

// The type a kernel computes in, and keeps statistics and parameters in: float32 for half precision.
inline DType computeType(DType dtype) { return dtype == DType::Float64 ? DType::Float64 : DType::Float32; }

}  // namespace anneal::ops
