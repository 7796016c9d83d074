#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "core/context.h"
#include "core/device_runtime.h"
#include "cuda/runtime.h"

namespace anneal::cuda {

// Caches blocks of a device's memory by size class. Called from the enqueuing thread, but for reclaim().
class DeviceAllocator {
  public:
    DeviceAllocator(Context& context, int ordinal) : context_(context), ordinal_(ordinal) {}
    ~DeviceAllocator();
    void* allocate(size_t bytes);
    void release(void* block, size_t bytes);
    // The caller has waited for the device.
    void emptyCache() {
        giveBack(UINT64_MAX, [] {});
    }
    // On the engine thread: gives back what no op uses that is still queued, once `wait` has waited for those
    // that were launched. False where there is none.
    bool reclaim(const std::function<void()>& wait) { return giveBack(context_.stream().completed(), wait); }
    MemoryStats stats() const;
    void resetPeak();

  private:
    struct Cached {
        void* block;
        uint64_t freedAt;  // the stream's ticket at the time of release
    };
    void* fromDevice(size_t bytes);
    void* fromCache(size_t bytes, size_t rounded);
    void* fresh(void* block, size_t bytes);
    void count(size_t bytes);
    bool giveBack(uint64_t before, const std::function<void()>& wait);

    Context& context_;
    const int ordinal_;
    mutable std::mutex mutex_;
    std::unordered_map<size_t, std::vector<Cached>> cache_;
    std::unordered_map<void*, size_t> exact_;  // blocks that are no larger than what was asked for
    MemoryStats stats_;
};

// Page-locked memory of the host, by size class; any thread.
class PinnedPool {
  public:
    ~PinnedPool() { emptyCache(); }
    void* take(size_t bytes);
    void giveBack(void* block, size_t bytes);
    void emptyCache();

  private:
    static size_t roundUp(size_t bytes);
    std::mutex mutex_;
    std::map<size_t, std::vector<void*>> free_;
    size_t idle_ = 0;  // bytes of all these
};

// Makes this thread's calls go to a device: all that do so come here, where it is known which one was the
// last.
cudaError_t selectDevice(int ordinal);

class CudaDevice final : public DeviceRuntime, public CudaRuntime {
  public:
    CudaDevice(Context& context, int ordinal);
    ~CudaDevice() override;

    const KernelTable& kernels() const override { return cudaKernels(); }
    void* allocate(size_t bytes) override {
        speaking() = this;
        return allocator_.allocate(bytes);
    }
    void release(void* block, size_t bytes) override { allocator_.release(block, bytes); }
    void emptyCache() override;
    MemoryStats stats() const override;
    void resetPeak() override { allocator_.resetPeak(); }

    void upload(void* target, const void* source, size_t bytes) override;
    void download(void* target, const void* source, size_t bytes,
                  std::function<void(std::exception_ptr)> done) override;
    void read(void* target, const void* source, size_t bytes) override;
    void copyWithin(void* target, const void* source, size_t bytes) override;
    std::shared_ptr<void> capture(const std::function<void()>& body) override;
    void launchCaptured(const std::shared_ptr<void>& captured) override;
    void wait() override;

    void begin(const char* op) override;
    void end() override;
    bool capturing() const override { return capturing_ != nullptr; }
    void setValue(void* target, const void* source, size_t bytes) override;
    void setFresh(void* target, size_t bytes, const std::function<void(void*)>& fill) override;
    void* workspace(size_t bytes, Workspace purpose) override;
    bool hasWorkspace(size_t bytes, Workspace purpose) override;
    bool reclaim() override;

    // Where the calls of this thread went last: whose ops an error may come from that another one meets.
    static const CudaDevice*& speaking();
    // What a failure means that is not one of the call that met it.
    std::string blame(cudaError_t status) const;
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
    // Memory of the device that is no tensor's.
    struct Room {
        void* memory = nullptr;
        size_t bytes = 0;
    };
    // Where a copy goes while kernels still work with the target.
    struct Landing : Room {
        cudaEvent_t filled = nullptr, emptied = nullptr;
    };

    void await();
    // False, and the room as it was, where there is no memory for it.
    bool fill(Room& room, size_t bytes);
    void clear(Room& room);
    bool growWorkspace(Room& room, size_t bytes);
    bool growLanding(Landing& landing, size_t bytes);
    void uploadLarge(char* target, const char* source, size_t bytes);
    void uploadPieces(char* target, const char* source, size_t bytes, cudaStream_t stream);
    void uploadSmall(char* target, const char* source, size_t bytes);
    std::exception_ptr failureOf(cudaError_t status, FaultRecord* fault) const;
    // Into page-locked memory, in the queue's order: bytes, and the fault that a kernel has noted by then,
    // which is cleared.
    void fetch(void* staging, const void* source, size_t bytes, FaultRecord* fault);
    // The same, and waits for all that was launched.
    std::exception_ptr finish(void* staging, const void* source, size_t bytes);
    cudaEvent_t takeEvent();

    std::shared_ptr<void>& attachment(const void* key) override { return attached_[key]; }

    Context& context_;
    DeviceAllocator allocator_;
    PinnedPool pinned_;
    cudaStream_t copyStream_ = nullptr;
    Graph* capturing_ = nullptr;
    size_t graphs_ = 0;  // that live: the memory that they work in has to stay
    std::array<Room, kWorkspaces> workspaces_;
    std::vector<Room> outgrown_;        // that graphs may still use
    std::atomic<size_t> roomBytes_{0};  // of all these, and of the landings
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

}  // namespace anneal::cuda
