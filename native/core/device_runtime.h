#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/device.h"
#include "core/memory_stats.h"

namespace anneal {

class Context;
struct KernelTable;

// What a context holds of one accelerator. Memory belongs to the thread that enqueues; everything else is
// called on the engine thread, in the order of the queue, and adds to the device's own queue there.
class DeviceRuntime {
  public:
    virtual ~DeviceRuntime() = default;

    virtual const KernelTable& kernels() const = 0;

    // --- on the enqueuing thread. A block may be given out again at once: what uses it next runs after what
    // used it before.
    virtual void* allocate(size_t bytes) = 0;
    virtual void release(void* block, size_t bytes) = 0;
    // Gives back what is kept for reuse, of memory of the device and of page-locked memory; waits first.
    virtual void emptyCache() = 0;
    virtual MemoryStats stats() const = 0;
    virtual void resetPeak() = 0;

    // --- on the engine thread
    // Host memory that is read may change as soon as the call returns.
    virtual void upload(void* target, const void* source, size_t bytes) = 0;
    // Calls `done` from a thread of the device's once `target` is written, or with what failed.
    virtual void download(void* target, const void* source, size_t bytes,
                          std::function<void(std::exception_ptr)> done) = 0;
    // As download, but returns when the values are there, and throws what has failed.
    virtual void read(void* target, const void* source, size_t bytes) = 0;
    virtual void copyWithin(void* target, const void* source, size_t bytes) = 0;
    // Keeps what `body` launches, without running it, to be launched as a whole; null where that is not
    // possible.
    virtual std::shared_ptr<void> capture(const std::function<void()>& body) = 0;
    virtual void launchCaptured(const std::shared_ptr<void>& captured) = 0;
    // Waits for all that was launched; throws what has failed since the last wait.
    virtual void wait() = 0;
};

// What `anneal info` tells of a device.
struct DeviceFacts {
    std::string name;  // NVIDIA H100 …
    std::string capability;
    size_t totalBytes = 0, freeBytes = 0;
};

// --- CUDA, in native/cuda; in a build without nvcc each of these says so
bool cudaCompiled();
// Whether the processor plays the GPU's part, which only builds for tests do.
bool cudaEmulated();
// 0 without a driver; never throws.
int cudaDeviceCount();
// Why there are none, or what is missing to use them; empty if nothing is.
std::string cudaProblem();
DeviceFacts cudaDeviceFacts(int ordinal);
// Whether float32 products may use TF32 from now on.
void cudaAllowTf32(bool allowed);
// The libraries that are opened at run time, with their versions or with what is wrong.
std::vector<std::pair<std::string, std::string>> cudaLibraries();
std::unique_ptr<DeviceRuntime> openCudaDevice(Context& context, int ordinal);
const KernelTable& cudaKernels();

}  // namespace anneal
