// Memory of a device and page-locked memory of the host, both cached: asking CUDA takes far longer than a
// kernel.
#include <algorithm>
#include <string>

#include "core/allocator.h"
#include "core/error.h"
#include "cuda/device.h"

namespace anneal::cuda {

namespace {

constexpr size_t kSmallest = 512;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;  // blocks as large as asked for, and none kept: see core/allocator.cpp
#else
constexpr bool kSanitized = false;
#endif

size_t roundedSize(size_t bytes) {
    if constexpr (kSanitized) return std::max<size_t>(bytes, 1);
    return CachingAllocator::roundUp(std::max(bytes, kSmallest));
}

// Calls come from the enqueuing thread, which may have chosen another device.
void choose(int ordinal) { check(selectDevice(ordinal), "choosing the device"); }

}  // namespace

DeviceAllocator::~DeviceAllocator() {
    for (auto& entry : cache_) {
        for (void* block : entry.second) cudaFree(block);
    }
}

void* DeviceAllocator::fromDevice(size_t rounded) {
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, rounded);
    if (status == cudaSuccess) return block;
    cudaGetLastError();  // an allocation that failed is no failure of what comes next
    if (status != cudaErrorMemoryAllocation) check(status, "allocating");
    return nullptr;
}

void* DeviceAllocator::allocate(size_t bytes) {
    const size_t rounded = roundedSize(bytes);
    void* block = nullptr;
    auto found = cache_.find(rounded);
    if (found != cache_.end() && !found->second.empty()) {
        block = found->second.back();
        found->second.pop_back();
        stats_.cached -= rounded;
    } else {
        choose(ordinal_);
        block = fromDevice(rounded);
        if (!block && stats_.cached > 0) {
            // What is cached in other sizes may add up to enough.
            context_.openRuntime(Device::cuda(ordinal_))->emptyCache();
            block = fromDevice(rounded);
        }
        if (!block) {
            size_t available = 0, total = 0;
            cudaMemGetInfo(&available, &total);
            fail(ErrorKind::OutOfMemory, "out of memory on ", Device::cuda(ordinal_).name(), ": ",
                 megabytes(bytes), " asked for, ", megabytes(stats_.inUse), " in use, ", megabytes(available),
                 " free of ", megabytes(total));
        }
        stats_.allocations++;
    }
    stats_.inUse += rounded;
    stats_.peak = std::max(stats_.peak, stats_.inUse);
    return block;
}

void DeviceAllocator::release(void* block, size_t bytes) {
    const size_t rounded = roundedSize(bytes);
    stats_.inUse -= rounded;
    if constexpr (kSanitized) {
        // Freed with the closure, which may be dropped without having been run.
        struct Free {
            void operator()(void* it) const { cudaFree(it); }
        };
        context_.stream().enqueueOnce("free", [owned = std::unique_ptr<void, Free>(block)] {});
        return;
    }
    stats_.cached += rounded;
    cache_[rounded].push_back(block);
}

void DeviceAllocator::emptyCache() {
    choose(ordinal_);
    for (auto& entry : cache_) {
        for (void* block : entry.second) check(cudaFree(block), "freeing");
    }
    cache_.clear();
    stats_.cached = 0;
}

size_t PinnedPool::roundUp(size_t bytes) { return CachingAllocator::roundUp(std::max(bytes, kSmallest)); }

PinnedPool::~PinnedPool() {
    for (auto& entry : free_) {
        for (void* block : entry.second) cudaFreeHost(block);
    }
}

void* PinnedPool::take(size_t bytes) {
    const size_t rounded = roundUp(bytes);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto found = free_.find(rounded);
        if (found != free_.end() && !found->second.empty()) {
            void* block = found->second.back();
            found->second.pop_back();
            return block;
        }
    }
    void* block = nullptr;
    check(cudaMallocHost(&block, rounded), "allocating page-locked memory");
    return block;
}

void PinnedPool::giveBack(void* block, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    free_[roundUp(bytes)].push_back(block);
}

}  // namespace anneal::cuda
