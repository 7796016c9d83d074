// The runtime's calls: two devices whose memory is the processor's. Everything runs at once, in the order of
// the calls. Device memory can only be touched by kernels and copies (elsewhere it is a segmentation fault),
// unless AddressSanitizer watches: then blocks come from its own allocator, and it is the bounds that are
// watched.
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "cuda_runtime.h"

namespace {

constexpr int kDevices = 2;
constexpr size_t kArenaBytes = size_t{16} << 30;
constexpr size_t kAlignment = 256;

size_t deviceBytes() {
    static const size_t bytes = [] {
        const char* megabytes = std::getenv("ANNEAL_EMULATED_MEMORY");
        return (megabytes ? std::strtoull(megabytes, nullptr, 10) : 4096) << 20;
    }();
    return bytes;
}

thread_local int currentDevice = 0;

struct Block {
    size_t bytes;
    int device;
};

class Memory {
  public:
    void* take(size_t bytes) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (used_[currentDevice] + bytes > deviceBytes()) return nullptr;
        used_[currentDevice] += bytes;
#if defined(__SANITIZE_ADDRESS__)
        void* exact = nullptr;
        if (posix_memalign(&exact, kAlignment, bytes) != 0) return nullptr;
        blocks_[exact] = {bytes, currentDevice};
        return exact;
#else
        const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
        char* block = nullptr;
        auto found = free_.find(rounded);
        if (found != free_.end()) {
            block = found->second;
            free_.erase(found);
        } else {
            if (!arena_) reserve();
            if (end_ + rounded > kArenaBytes) return nullptr;
            block = arena_ + end_;
            end_ += rounded;
            if (open_ > 0) protect(PROT_READ | PROT_WRITE);
        }
        blocks_[block] = {bytes, currentDevice};
        return block;
#endif
    }

    bool giveBack(void* block) {
        const std::lock_guard<std::mutex> lock(mutex_);
        const auto found = blocks_.find(block);
        if (found == blocks_.end()) return false;
        used_[found->second.device] -= found->second.bytes;
#if defined(__SANITIZE_ADDRESS__)
        std::free(block);
#else
        free_.emplace((found->second.bytes + kAlignment - 1) / kAlignment * kAlignment,
                      static_cast<char*>(block));
#endif
        blocks_.erase(found);
        return true;
    }

    size_t used(int device) {
        const std::lock_guard<std::mutex> lock(mutex_);
        return used_[device];
    }

    void open() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (open_++ == 0) protect(PROT_READ | PROT_WRITE);
    }
    void close() {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (--open_ == 0) protect(PROT_NONE);
    }

  private:
    void reserve() {
        void* const memory =
            mmap(nullptr, kArenaBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) std::abort();
        arena_ = static_cast<char*>(memory);
    }
    void protect(int protection) {
        if (arena_ && end_ > 0) mprotect(arena_, (end_ + 4095) / 4096 * 4096, protection);
    }

    std::mutex mutex_;
    char* arena_ = nullptr;
    size_t end_ = 0;
    int open_ = 0;
    std::map<void*, Block> blocks_;
    std::multimap<size_t, char*> free_;
    size_t used_[kDevices] = {};
};

Memory& memory() {
    static Memory* const it = new Memory;  // outlives every thread
    return *it;
}

}  // namespace

namespace anneal::emulation {

Access::Access() { memory().open(); }
Access::~Access() { memory().close(); }

}  // namespace anneal::emulation

using anneal::emulation::Access;

cudaError_t cudaGetDeviceCount(int* count) {
    *count = kDevices;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
    *version = 13000;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "emulated device %d (no GPU)", device);
    properties->totalGlobalMem = deviceBytes();
    properties->major = 9;
    properties->multiProcessorCount = 4;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
    *value = attribute == cudaDevAttrMultiProcessorCount ? 4 : 9;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= kDevices) return cudaErrorInvalidDevice;
    currentDevice = device;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* available, size_t* total) {
    *total = deviceBytes();
    *available = *total - std::min(*total, memory().used(currentDevice));
    return cudaSuccess;
}
cudaError_t cudaMalloc(void** block, size_t bytes) {
    *block = memory().take(bytes);
    return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFree(void* block) {
    return !block || memory().giveBack(block) ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaMallocHost(void** block, size_t bytes) {
    *block = std::malloc(bytes);
    return *block ? cudaSuccess : cudaErrorMemoryAllocation;
}
cudaError_t cudaFreeHost(void* block) {
    std::free(block);
    return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind, cudaStream_t) {
    const Access access;
    std::memcpy(target, source, bytes);
    return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t) {
    const Access access;
    std::memset(target, value, bytes);
    return cudaSuccess;
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
    *stream = nullptr;
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t) { return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
    *event = reinterpret_cast<cudaEvent_t>(event);  // anything but null
    return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
    *milliseconds = 1;
    return cudaSuccess;
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
const char* cudaGetErrorString(cudaError_t status) {
    switch (status) {
        case cudaSuccess:
            return "no error";
        case cudaErrorMemoryAllocation:
            return "out of memory";
        case cudaErrorInvalidDevice:
            return "invalid device ordinal";
        case cudaErrorNoDevice:
            return "no CUDA-capable device is detected";
        default:
            return "invalid argument";
    }
}
