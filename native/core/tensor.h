#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/error.h"
#include "core/shape.h"
#include "core/storage.h"

namespace anneal {

// What a kernel sees of a tensor: plain data, copied into the queue. Strides count elements.
struct View {
    void* data = nullptr;
    DType dtype = DType::Float32;
    Dims sizes;
    Dims strides;

    int dims() const { return sizes.size(); }
    int64_t numel() const {
        int64_t count = 1;
        for (int64_t size : sizes) count *= size;
        return count;
    }
    template <typename T>
    T* as() const {
        return static_cast<T*>(data);
    }
};

// A strided window on a storage: a value type, cheap to copy. Shapes are logical ([N, C, H, W] for pictures),
// whatever the physical order that the strides describe.
class Tensor {
  public:
    Tensor() = default;
    Tensor(StorageRef storage, DType dtype, Dims sizes, Dims strides, int64_t offset = 0)
        : storage_(std::move(storage)), offset_(offset), sizes_(sizes), strides_(strides), dtype_(dtype) {}

    bool defined() const { return static_cast<bool>(storage_); }
    DType dtype() const { return dtype_; }
    const Dims& sizes() const { return sizes_; }
    const Dims& strides() const { return strides_; }
    int64_t size(int dim) const { return sizes_[dim]; }
    int dims() const { return sizes_.size(); }
    int64_t offset() const { return offset_; }
    int64_t numel() const { return numelOf(sizes_); }
    size_t bytes() const { return static_cast<size_t>(numel()) * dtypeSize(dtype_); }
    const StorageRef& storage() const { return storage_; }
    Device device() const { return storage_->device(); }

    bool isContiguous() const { return anneal::isContiguous(sizes_, strides_); }
    bool isChannelsLast() const { return anneal::isChannelsLast(sizes_, strides_); }
    bool isDense() const { return anneal::isDense(sizes_, strides_); }

    void* data() const {
        return static_cast<char*>(storage_->data()) + offset_ * static_cast<int64_t>(dtypeSize(dtype_));
    }
    View view() const { return View{data(), dtype_, sizes_, strides_}; }
    operator View() const { return view(); }

    // Another window on the same storage; the caller vouches for its bounds.
    Tensor window(Dims sizes, Dims strides, int64_t offset) const {
        return Tensor(storage_, dtype_, sizes, strides, offset);
    }
    Tensor window(Dims sizes, Dims strides) const { return window(sizes, strides, offset_); }

  private:
    StorageRef storage_;
    int64_t offset_ = 0;
    Dims sizes_;
    Dims strides_;
    DType dtype_ = DType::Float32;
};

using TensorList = std::vector<Tensor>;

std::string describe(const Tensor& tensor);  // float32[2, 3]

}  // namespace anneal
