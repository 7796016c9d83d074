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

// What an op writes into must not have several elements in one place of memory, as expanded tensors do.
inline void requireWritable(const char* op, const Tensor& target) {
    for (int i = 0; i < target.dims(); i++) {
        CHECK(target.strides()[i] != 0 || target.size(i) <= 1, ErrorKind::Shape, op, ": several elements of ",
              target.sizes().toString(),
              " lie in one place of memory (the tensor was expanded); clone() it first");
    }
}

}  // namespace anneal::ops
