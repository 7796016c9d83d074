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
constexpr size_t kMostIdle = size_t{64} << 20;  // page-locked memory that is kept for the next reads

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
        for (const Cached& cached : entry.second) cudaFree(cached.block);
    }
}

void* DeviceAllocator::fromDevice(size_t bytes) {
    void* block = nullptr;
    const cudaError_t status = cudaMalloc(&block, bytes);
    if (status == cudaSuccess) return block;
    cudaGetLastError();  // an allocation that failed is no failure of what comes next
    if (status != cudaErrorMemoryAllocation) check(status, "allocating");
    return nullptr;
}

// Null where none is cached.
void* DeviceAllocator::fromCache(size_t bytes, size_t rounded) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const size_t size : {rounded, exact_.empty() ? rounded : bytes}) {
        const auto found = cache_.find(size);
        if (found == cache_.end() || found->second.empty()) continue;
        void* const block = found->second.back().block;
        found->second.pop_back();
        stats_.cached -= size;
        count(size);
        return block;
    }
    return nullptr;
}

void* DeviceAllocator::fresh(void* block, size_t bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (bytes != roundedSize(bytes)) exact_.emplace(block, bytes);
    stats_.allocations++;
    count(bytes);
    return block;
}

void DeviceAllocator::count(size_t bytes) {
    stats_.inUse += bytes;
    stats_.peak = std::max(stats_.peak, stats_.inUse);
}

void* DeviceAllocator::allocate(size_t bytes) {
    const size_t rounded = roundedSize(bytes);
    if (void* const block = fromCache(bytes, rounded)) return block;
    choose(ordinal_);
    if (void* const block = fromDevice(rounded)) return fresh(block, rounded);
    // What is cached in other sizes may add up to enough, or else with what copies and libraries have worked
    // in, which they would ask for again.
    DeviceRuntime* const runtime = context_.openRuntime(Device::cuda(ordinal_));
    if (stats().cached > 0) {
        context_.stream().enqueueOnce("emptyCache", [runtime] { runtime->wait(); });
        context_.stream().wait();
        emptyCache();
        if (void* const block = fromDevice(rounded)) return fresh(block, rounded);
    }
    runtime->emptyCache();
    if (void* const block = fromDevice(rounded)) return fresh(block, rounded);
    if (bytes > kSmallest && bytes < rounded) {
        if (void* const block = fromDevice(bytes)) return fresh(block, bytes);
    }
    size_t available = 0, total = 0;
    cudaMemGetInfo(&available, &total);
    fail(ErrorKind::OutOfMemory, "out of memory on ", Device::cuda(ordinal_).name(), ": ", megabytes(bytes),
         " asked for, ", megabytes(stats_.inUse), " in use, ", megabytes(available), " free of ",
         megabytes(total));
}

void DeviceAllocator::release(void* block, size_t bytes) {
    if constexpr (kSanitized) {
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            stats_.inUse -= roundedSize(bytes);
        }
        // Freed with the closure, which may be dropped without having been run.
        struct Free {
            void operator()(void* it) const { cudaFree(it); }
        };
        context_.stream().enqueueOnce("free", [owned = std::unique_ptr<void, Free>(block)] {});
        return;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto exact = exact_.empty() ? exact_.end() : exact_.find(block);
    const size_t size = exact == exact_.end() ? roundedSize(bytes) : exact->second;
    stats_.inUse -= size;
    stats_.cached += size;
    cache_[size].push_back({block, context_.stream().enqueued()});
}

// Blocks that were released before that ticket.
bool DeviceAllocator::giveBack(uint64_t before, const std::function<void()>& wait) {
    std::vector<void*> blocks;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        for (auto& [bytes, cached] : cache_) {
            const auto staying = std::partition(cached.begin(), cached.end(),
                                                [before](const Cached& it) { return it.freedAt > before; });
            for (auto it = staying; it != cached.end(); ++it) {
                blocks.push_back(it->block);
                exact_.erase(it->block);
                stats_.cached -= bytes;
            }
            cached.erase(staying, cached.end());
        }
    }
    if (blocks.empty()) return false;
    wait();
    choose(ordinal_);
    for (void* block : blocks) check(cudaFree(block), "freeing");
    return true;
}

MemoryStats DeviceAllocator::stats() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return stats_;
}

void DeviceAllocator::resetPeak() {
    const std::lock_guard<std::mutex> lock(mutex_);
    stats_.peak = stats_.inUse;
}

size_t PinnedPool::roundUp(size_t bytes) { return CachingAllocator::roundUp(std::max(bytes, kSmallest)); }

void* PinnedPool::take(size_t bytes) {
    const size_t rounded = roundUp(bytes);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        auto found = free_.find(rounded);
        if (found != free_.end() && !found->second.empty()) {
            void* block = found->second.back();
            found->second.pop_back();
            idle_ -= rounded;
            return block;
        }
    }
    void* block = nullptr;
    check(cudaMallocHost(&block, rounded), "allocating page-locked memory");
    return block;
}

void PinnedPool::giveBack(void* block, size_t bytes) {
    const size_t rounded = roundUp(bytes);
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (idle_ + rounded <= kMostIdle) {
            idle_ += rounded;
            free_[rounded].push_back(block);
            return;
        }
    }
    cudaFreeHost(block);
}

void PinnedPool::emptyCache() {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& entry : free_) {
        for (void* block : entry.second) cudaFreeHost(block);
    }
    free_.clear();
    idle_ = 0;
}

}  // namespace anneal::cuda
