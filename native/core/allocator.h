#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "core/large_blocks.h"
#include "core/memory_stats.h"

namespace anneal {

class Stream;

// A caching allocator for one in-order stream. Called from the enqueuing thread only, hence without locks: a
// block freed here may still be read by kernels that wait in the queue, and may be handed to the next op at
// once, because that op runs after them. Only the host must not touch such a block early, which is what
// `forHost` is about.
class CachingAllocator {
  public:
    explicit CachingAllocator(Stream& stream) : stream_(stream) {}
    ~CachingAllocator();
    CachingAllocator(const CachingAllocator&) = delete;
    CachingAllocator& operator=(const CachingAllocator&) = delete;

    // 64-byte aligned. Small blocks are rounded up to a size class and serve that class again; large ones are
    // cut from segments. With `forHost` the block is one that no queued kernel uses any more, so that the
    // caller may write to it now. Throws ErrorKind::OutOfMemory with the figures.
    void* allocate(size_t bytes, bool forHost = false);
    void release(void* block, size_t bytes);
    // Gives every cached block back to the system; waits for the stream first.
    void emptyCache();
    MemoryStats stats() const;
    void resetPeak() { stats_.peak = stats_.inUse; }

    static size_t roundUp(size_t bytes);

  private:
    struct Given {
        void* data;
        size_t bytes;
    };
    Given allocateLarge(size_t bytes, bool forHost);
    Given allocateSmall(size_t bytes, bool forHost);

    struct CachedBlock {
        void* data;
        uint64_t freedAt;  // the stream's ticket at the time of release
    };

    Stream& stream_;
    std::unordered_map<size_t, std::vector<CachedBlock>> cache_;
    LargeBlocks large_;
    MemoryStats stats_;  // without what `large_` keeps
};

}  // namespace anneal
