#pragma once

#include <cuda_runtime.h>

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/context.h"
#include "cuda/check.h"
#include "cuda/faults.h"

namespace anneal::cuda {

// Caches blocks of a device's memory by size class. Called from the enqueuing thread.
class DeviceAllocator {
  public:
    DeviceAllocator(Context& context, int ordinal) : context_(context), ordinal_(ordinal) {}
    ~DeviceAllocator();
    void* allocate(size_t bytes);
    void release(void* block, size_t bytes);
    // The caller has waited for the device.
    void emptyCache();
    const MemoryStats& stats() const { return stats_; }
    void resetPeak() { stats_.peak = stats_.inUse; }

  private:
    void* fromDevice(size_t rounded);

    Context& context_;
    const int ordinal_;
    std::unordered_map<size_t, std::vector<void*>> cache_;
    MemoryStats stats_;
};

// Page-locked memory of the host, by size class; any thread.
class PinnedPool {
  public:
    ~PinnedPool();
    void* take(size_t bytes);
    void giveBack(void* block, size_t bytes);

  private:
    static size_t roundUp(size_t bytes);
    std::mutex mutex_;
    std::map<size_t, std::vector<void*>> free_;
};

// Makes this thread's calls go to a device: all that do so come here, where it is known which one was the
// last.
cudaError_t selectDevice(int ordinal);

class CudaRuntime : public DeviceRuntime {
  public:
    CudaRuntime(Context& context, int ordinal);
    ~CudaRuntime() override;

    const KernelTable& kernels() const override { return cudaKernels(); }
    void* allocate(size_t bytes) override {
        speaking() = this;
        return allocator_.allocate(bytes);
    }
    void release(void* block, size_t bytes) override { allocator_.release(block, bytes); }
    void emptyCache() override;
    const MemoryStats& stats() const override { return allocator_.stats(); }
    void resetPeak() override { allocator_.resetPeak(); }

    void upload(void* target, const void* source, size_t bytes) override;
    void download(void* target, const void* source, size_t bytes,
                  std::function<void(std::exception_ptr)> done) override;
    void read(void* target, const void* source, size_t bytes) override;
    void copyWithin(void* target, const void* source, size_t bytes) override;
    std::shared_ptr<void> capture(const std::function<void()>& body) override;
    void launchCaptured(const std::shared_ptr<void>& captured) override;
    void wait() override;

    // --- on the engine thread, for kernels
    // What is launched from now on belongs to `op`.
    void begin(const char* op) {
        select();
        recent_[launched_.fetch_add(1, std::memory_order_relaxed) % recent_.size()].store(
            op, std::memory_order_relaxed);
    }
    void end() {
        if ((context_.stream().synchronous || context_.stream().profiling()) && !capturing_) wait();
    }
    cudaStream_t stream() const { return stream_; }
    Faults faultsFor(const char* op) const { return {faults_, op}; }
    int ordinal() const { return ordinal_; }
    int processors() const { return processors_; }
    bool capturing() const { return capturing_ != nullptr; }
    // Where the calls of this thread went last: whose ops an error may come from that another one meets.
    static const CudaRuntime*& speaking();
    // What a failure means that is not one of the call that met it.
    std::string blame(cudaError_t status) const;
    // A few bytes of the host, which may change as soon as the call returns, to the device in the queue's
    // order.
    void setValue(void* target, const void* source, size_t bytes);
    // As setValue, with bytes that `fill` makes: anew for each launch of what is being captured, if anything
    // is.
    void setFresh(void* target, size_t bytes, const std::function<void(void*)>& fill);
    // Memory for a library to work in, grown as needed; what was enqueued before keeps its contents only
    // until then.
    void* workspace(size_t bytes);
    // Whether it is of so many bytes now, or could be made so; what would be too small is not taken.
    bool hasWorkspace(size_t bytes) { return bytes <= workspaceBytes_ || growWorkspace(bytes); }
    // What a file of kernels keeps for this device (a library's handle, plans by shape), made when first
    // asked for.
    template <typename T>
    T& attached() {
        static const char key = 0;
        std::shared_ptr<void>& slot = attached_[&key];
        if (!slot) slot = std::make_shared<T>(*this);
        return *static_cast<T*>(slot.get());
    }
    // Makes this thread's calls go to this device, and what fails meanwhile be its own.
    void select() const;

  private:
    // A captured graph, the host memory that it reads, and what fills that before each launch.
    struct Graph;
    struct Arrival {
        cudaEvent_t event;
        void *target, *staging;
        size_t bytes;
        FaultRecord* fault;
        std::function<void(std::exception_ptr)> done;
    };
    // A piece of page-locked memory on its way up, free again when `left` has happened.
    struct UploadSlot {
        void* memory = nullptr;
        cudaEvent_t left = nullptr;
    };
    // Memory on the device into which a copy goes while kernels still work with the target.
    struct Landing {
        void* memory = nullptr;
        size_t bytes = 0;
        cudaEvent_t filled = nullptr, emptied = nullptr;
    };

    void await();
    bool growWorkspace(size_t bytes);
    bool growLanding(Landing& landing, size_t bytes);
    void uploadPieces(char* target, const char* source, size_t bytes, cudaStream_t stream);
    void uploadSmall(char* target, const char* source, size_t bytes);
    std::exception_ptr failureOf(cudaError_t status, FaultRecord* fault) const;
    // Into page-locked memory, in the queue's order: bytes, and the fault that a kernel has noted by then,
    // which is cleared.
    void fetch(void* staging, const void* source, size_t bytes, FaultRecord* fault);
    // The same, and waits for all that was launched.
    std::exception_ptr finish(void* staging, const void* source, size_t bytes);
    cudaEvent_t takeEvent();

    Context& context_;
    const int ordinal_;
    int processors_ = 0;
    DeviceAllocator allocator_;
    PinnedPool pinned_;
    cudaStream_t stream_ = nullptr, copyStream_ = nullptr;
    FaultRecord* faults_ = nullptr;  // on the device
    Graph* capturing_ = nullptr;
    bool hasCaptured_ = false;
    void* workspace_ = nullptr;
    std::vector<void*> outgrown_;  // workspaces that graphs may still use
    size_t workspaceBytes_ = 0;
    // Large copies and small ones pass through memory of their own: a small one leaves in the queue's order,
    // after the kernels before it, and large ones must not wait for that.
    std::array<UploadSlot, 4> uploads_, smalls_;
    size_t nextUpload_ = 0, small_ = 0, smallUsed_ = 0;
    std::array<Landing, 2> landings_;
    size_t nextLanding_ = 0;
    std::array<std::atomic<const char*>, 1024> recent_ = {};  // the driver's own queue is as long
    std::atomic<size_t> launched_{0};
    std::map<const void*, std::shared_ptr<void>> attached_;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Arrival> arrivals_;
    std::vector<cudaEvent_t> events_;
    bool closing_ = false;
    std::thread waiter_;
};

inline CudaRuntime& runtimeOf(Context& context) {
    return static_cast<CudaRuntime&>(*context.openRuntime(context.device()));
}

}  // namespace anneal::cuda
