#include "core/allocator.h"

#include <malloc.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "core/error.h"
#include "core/stream.h"

namespace anneal {

namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kLarge = size_t{1} << 20;  // from here on blocks are cut from segments

// Under AddressSanitizer nothing is cached and blocks are as large as asked for, so that it sees an access
// past a tensor's end or after its last use.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

struct Free {
    void operator()(void* block) const { std::free(block); }
};

// What the kernel says can still be had without swapping; free memory alone would ignore the page cache.
size_t systemAvailable() {
    std::FILE* file = std::fopen("/proc/meminfo", "r");
    if (!file) return SIZE_MAX;
    char line[128];
    unsigned long long kilobytes = 0;
    bool found = false;
    while (!found && std::fgets(line, sizeof line, file)) {
        found = std::sscanf(line, "MemAvailable: %llu kB", &kilobytes) == 1;
    }
    std::fclose(file);
    return found ? static_cast<size_t>(kilobytes) * 1024 : SIZE_MAX;
}

size_t systemTotal() {
    static const size_t total = [] {
        struct sysinfo info;
        return sysinfo(&info) == 0 ? static_cast<size_t>(info.totalram) * info.mem_unit : SIZE_MAX;
    }();
    return total;
}

template <typename Cache>
void freeAll(Cache& cache) {
    size_t freed = 0;
    for (auto& [bytes, blocks] : cache) {
        for (auto& block : blocks) std::free(block.data);
        freed += bytes * blocks.size();
    }
    cache.clear();
#if defined(__GLIBC__)
    // free() alone keeps hundreds of megabytes for a process that has once freed large blocks.
    if (freed >= kLarge) malloc_trim(0);
#endif
}

}  // namespace

CachingAllocator::~CachingAllocator() { freeAll(cache_); }

size_t CachingAllocator::roundUp(size_t bytes) {
    if (bytes <= kAlignment) return kAlignment;
    // Eight classes to a power of two: at most an eighth is wasted, and shapes that differ a little share
    // blocks.
    size_t power = kAlignment;
    while (power * 2 <= bytes) power *= 2;
    const size_t step = std::max(power / 8, kAlignment);
    return (bytes + step - 1) / step * step;
}

MemoryStats CachingAllocator::stats() const {
    MemoryStats stats = stats_;
    stats.cached += large_.cached();
    return stats;
}

void* CachingAllocator::allocate(size_t bytes, bool forHost) {
    CHECK(bytes <= systemTotal(), ErrorKind::OutOfMemory, "out of memory: ", megabytes(bytes), " asked for, ",
          megabytes(stats_.inUse), " in use, ", megabytes(systemTotal()), " of memory in this machine");
    const bool large = bytes >= kLarge && !kSanitized;
    const auto [data, given] = large ? allocateLarge(bytes, forHost) : allocateSmall(bytes, forHost);
    CHECK(data != nullptr, ErrorKind::OutOfMemory, "out of memory: ", megabytes(bytes), " asked for, ",
          megabytes(stats_.inUse), " in use, ", megabytes(systemAvailable()), " available");
    stats_.inUse += given;
    stats_.peak = std::max(stats_.peak, stats_.inUse);
    return data;
}

CachingAllocator::Given CachingAllocator::allocateLarge(size_t bytes, bool forHost) {
    const uint64_t before = forHost ? stream_.completed() : UINT64_MAX;
    LargeBlocks::Piece piece = large_.take(bytes, before);
    // Linux promises more memory than it has and kills later: what was never used is checked against what is
    // there.
    const auto lacks = [&] { return piece.fresh > 0 && piece.fresh > systemAvailable(); };
    if (lacks()) {
        large_.giveBack(piece.data, 0);
        emptyCache();
        piece = large_.take(bytes, before);
    }
    if (lacks()) {
        large_.giveBack(piece.data, 0);
        large_.trim();
        return {nullptr, 0};
    }
    if (piece.fresh > 0) stats_.allocations++;
    return {piece.data, piece.bytes};
}

CachingAllocator::Given CachingAllocator::allocateSmall(size_t bytes, bool forHost) {
    const size_t rounded = kSanitized ? std::max<size_t>(bytes, 1) : roundUp(bytes);
    const auto found = cache_.find(rounded);
    if (found != cache_.end() && !found->second.empty()) {
        auto& blocks = found->second;
        // The most recently freed is the most likely to be in the processor's caches; the oldest is the first
        // to be free of queued work.
        const size_t index = forHost ? 0 : blocks.size() - 1;
        if (!forHost || blocks[0].freedAt <= stream_.completed()) {
            void* const data = blocks[index].data;
            blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(index));
            stats_.cached -= rounded;
            return {data, rounded};
        }
    }
    void* data = nullptr;
    if (posix_memalign(&data, kAlignment, rounded) != 0) return {nullptr, 0};
    stats_.allocations++;
    return {data, rounded};
}

void CachingAllocator::release(void* block, size_t bytes) {
    if (bytes >= kLarge && !kSanitized) {
        stats_.inUse -= large_.giveBack(block, stream_.enqueued());
        return;
    }
    const size_t rounded = kSanitized ? std::max<size_t>(bytes, 1) : roundUp(bytes);
    stats_.inUse -= rounded;
    if constexpr (kSanitized) {
        // Freed with the closure, which may be dropped without having been run.
        stream_.enqueueOnce("free", [owned = std::unique_ptr<void, Free>(block)] {});
        return;
    }
    stats_.cached += rounded;
    cache_[rounded].push_back({block, stream_.enqueued()});
}

void CachingAllocator::emptyCache() {
    stream_.wait();
    freeAll(cache_);
    stats_.cached = 0;
    large_.trim();
}

}  // namespace anneal
