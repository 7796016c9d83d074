#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <functional>
#include <memory>

#include "cuda/check.h"
#include "cuda/faults.h"

namespace anneal {
class Context;
}

namespace anneal::cuda {

// Whom a piece of memory is for that a device keeps for its kernels.
enum class Workspace : int { Library, WideInput, WideWeight, WideOutput };
constexpr size_t kWorkspaces = 4;

// What kernels see of the device that they run on: its queue, and what they need beside it. All of it is for
// the engine thread. (How a device does it is in cuda/device.h, which takes longer to compile.)
class CudaRuntime {
  public:
    // What is launched from now on belongs to `op`.
    virtual void begin(const char* op) = 0;
    virtual void end() = 0;
    cudaStream_t stream() const { return stream_; }
    Faults faultsFor(const char* op) const { return {faults_, op}; }
    int ordinal() const { return ordinal_; }
    // Whether what is launched is kept for later instead of run.
    virtual bool capturing() const = 0;
    virtual void copyWithin(void* target, const void* source, size_t bytes) = 0;
    // A few bytes of the host, which may change as soon as the call returns, to the device in the queue's
    // order.
    virtual void setValue(void* target, const void* source, size_t bytes) = 0;
    // As setValue, with bytes that `fill` makes: anew for each launch of what is being captured, if anything
    // is.
    virtual void setFresh(void* target, size_t bytes, const std::function<void(void*)>& fill) = 0;
    // Memory to work in, grown as needed; what was enqueued before keeps its contents only until then.
    virtual void* workspace(size_t bytes, Workspace purpose = Workspace::Library) = 0;
    // Whether it is of so many bytes now, or could be made so; what would be too small is not taken.
    virtual bool hasWorkspace(size_t bytes, Workspace purpose = Workspace::Library) = 0;
    // Gives back to the device what tensors have left in the allocator's cache, and nothing that is queued
    // uses. False where there was none.
    virtual bool reclaim() = 0;
    // What a file of kernels keeps for this device (a library's handle, plans by shape), made when first
    // asked for.
    template <typename T>
    T& attached() {
        static const char key = 0;
        std::shared_ptr<void>& slot = attachment(&key);
        if (!slot) slot = std::make_shared<T>(*this);
        return *static_cast<T*>(slot.get());
    }

  protected:
    explicit CudaRuntime(int ordinal) : ordinal_(ordinal) {}
    ~CudaRuntime() = default;
    virtual std::shared_ptr<void>& attachment(const void* key) = 0;

    const int ordinal_;
    cudaStream_t stream_ = nullptr;
    FaultRecord* faults_ = nullptr;  // on the device
};

// That of the device on which the op that is being called runs.
CudaRuntime& runtimeOf(Context& context);

}  // namespace anneal::cuda
