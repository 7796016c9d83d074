#pragma once

#include <array>
#include <memory>

#include "core/device.h"
#include "core/generator.h"
#include "core/stream.h"
#include "core/tensor.h"

namespace anneal {

class CachingAllocator;
class DeviceRuntime;
class Recording;
struct KernelTable;

// Everything that one JavaScript thread needs of the engine: its stream, its memory, its random numbers.
// Worker threads have a context each and share nothing, so none of this needs locks.
class Context {
  public:
    Context();
    ~Context();

    Stream& stream() { return stream_; }
    CachingAllocator& allocator() { return *allocator_; }
    Generator& generator() { return generator_; }

    // Where the op that is being called runs and allocates: that of its tensors, or what the caller asked
    // for.
    Device device() const { return device_; }
    void setDevice(Device device) {
        if (device != device_) switchTo(device);
    }
    const KernelTable& kernels() const { return *kernels_; }
    // An accelerator, opened when first asked for. Throws a DeviceError that tells what is missing.
    DeviceRuntime& runtime(Device device);
    // Null unless it has been opened.
    DeviceRuntime* openRuntime(Device device) {
        return device.isCpu() ? nullptr : runtimes_[static_cast<size_t>(device.ordinal())].get();
    }
    // Gives a block back that was asked for with so many bytes.
    void release(Device device, void* block, size_t bytes);
    // From here on what is enqueued is recorded; endRecording() gives it. They do not nest.
    void beginRecording();
    Recording* making() const { return made_.get(); }
    std::shared_ptr<Recording> endRecording();
    // Enqueues all of it again.
    void replay(const std::shared_ptr<Recording>& recording);

    // Blocks until everything enqueued so far has run, on every device; throws what has failed.
    void synchronize();
    // Drops the queued work and waits for what runs, on every device. Afterwards no thread of ours touches
    // anything, and nothing is run.
    void abandon();
    // Gives all cached blocks back, on every device; waits for the queued work first.
    void emptyCache();
    // On all devices together.
    size_t bytesInUse() const;
    // Waits for the accelerators alone, on the engine thread: what runs next there may read their results.
    void enqueueDeviceWait();

    // Uninitialised memory. `forHost`: the caller writes into it at once instead of enqueuing a kernel.
    Tensor empty(DType dtype, const Dims& sizes, bool forHost = false);
    Tensor empty(DType dtype, const Dims& sizes, const Dims& strides, bool forHost = false);
    // Dtype, sizes and memory order of `like` (dense order kept, otherwise contiguous).
    Tensor emptyLike(const Tensor& like);
    Tensor emptyLike(const Tensor& like, DType dtype);
    // [N, C, H, W] in channels-last order.
    Tensor emptyChannelsLast(DType dtype, const Dims& sizes);

    // Scratch memory for a kernel that is enqueued next: released right after enqueuing, it is reused in
    // stream order.
    Tensor scratch(size_t bytes) { return empty(DType::UInt8, Dims{static_cast<int64_t>(bytes)}); }

    template <typename Body>
    void enqueue(const char* op, Body&& body) {
        stream_.enqueue(op, std::forward<Body>(body));
    }

  private:
    void switchTo(Device device);

    Device device_;
    const KernelTable* kernels_;
    Stream stream_;
    std::unique_ptr<CachingAllocator> allocator_;
    Generator generator_;
    std::array<std::unique_ptr<DeviceRuntime>, kMaxDevices - 1> runtimes_;
    std::shared_ptr<Recording> made_;  // that is being made
};

// Calls of ops within its life run on another device than the op around them.
class OnDevice {
  public:
    OnDevice(Context& context, Device device) : context_(context), before_(context.device()) {
        context.setDevice(device);
    }
    ~OnDevice() { context_.setDevice(before_); }
    OnDevice(const OnDevice&) = delete;
    OnDevice& operator=(const OnDevice&) = delete;

  private:
    Context& context_;
    Device before_;
};

}  // namespace anneal
