#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <unordered_map>
#include <vector>

namespace anneal {

// Large blocks for a caching allocator. They are cut, where they fit best, from segments of address space
// that is much larger than they are and whose pages take memory when they are first used; given back, they
// are joined with free neighbours, so that what served one size serves another. (After Doug Lea's allocator.)
// Not for several threads.
class LargeBlocks {
  public:
    LargeBlocks() = default;
    ~LargeBlocks();
    LargeBlocks(const LargeBlocks&) = delete;
    LargeBlocks& operator=(const LargeBlocks&) = delete;

    struct Piece {
        void* data = nullptr;
        size_t bytes = 0;  // at least what was asked for
        size_t fresh = 0;  // of them never used before
    };

    // The smallest free block of `bytes` or more that was given back at ticket `before` or earlier, or a new
    // one. With no data where the system grants no address space.
    Piece take(size_t bytes, uint64_t before);
    // Gives a block back at that ticket of the stream. Returns its bytes.
    size_t giveBack(void* data, uint64_t ticket);
    // Gives the memory of what is free back to the system.
    void trim();
    // Bytes of memory that are kept and free.
    size_t cached() const { return cached_; }

  private:
    struct Segment;
    struct Block {
        Segment* segment;
        char* data;
        size_t bytes;
        size_t touched;  // of a free block: bytes that hold memory
        bool free;
        uint64_t freedAt;
        Block *before, *after;  // neighbours in the segment
    };
    // Blocks from `base` to `top`, whose last is `last`; beyond it nothing was used yet.
    struct Segment {
        char *base, *top, *end;
        Block* last;
    };
    struct Smaller {
        bool operator()(const Block* a, const Block* b) const {
            return a->bytes != b->bytes ? a->bytes < b->bytes : a->data < b->data;
        }
    };

    Piece use(Block* block, size_t bytes, size_t fresh);
    Piece extend(Segment& segment, size_t bytes, uint64_t before);
    Segment* addSegment(size_t bytes);
    void insertFree(Block* block);
    void eraseFree(Block* block);
    void join(Block* block, Block* after);

    std::vector<Segment*> segments_;
    std::set<Block*, Smaller> free_;
    std::unordered_map<void*, Block*> used_;
    size_t cached_ = 0;
};

}  // namespace anneal
