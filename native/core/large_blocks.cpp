#include "core/large_blocks.h"

#include <sys/mman.h>

#include <algorithm>

namespace anneal {

namespace {

constexpr size_t kLeast = size_t{1} << 20;  // less is not cut off: it would serve nobody
constexpr size_t kUnit = size_t{64} << 10;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSegment = size_t{1} << 30;

size_t roundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// Address space at a multiple of the huge page's size; null where there is none.
char* reserve(size_t bytes) {
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
    flags |= MAP_NORESERVE;
#endif
    void* const mapped = mmap(nullptr, bytes + kHugePage, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    char* const from = static_cast<char*>(mapped);
    char* const base = reinterpret_cast<char*>(roundUp(reinterpret_cast<uintptr_t>(from), kHugePage));
    if (base != from) munmap(from, static_cast<size_t>(base - from));
    if (const size_t rest = static_cast<size_t>(from + kHugePage - base)) munmap(base + bytes, rest);
#ifdef MADV_HUGEPAGE
    // Fewer page faults on first touch and fewer TLB misses in every kernel afterwards.
    madvise(base, bytes, MADV_HUGEPAGE);
#endif
    return base;
}

}  // namespace

LargeBlocks::~LargeBlocks() {
    for (Segment* segment : segments_) {
        for (Block* block = segment->last; block;) {
            Block* const before = block->before;
            delete block;
            block = before;
        }
        munmap(segment->base, static_cast<size_t>(segment->end - segment->base));
        delete segment;
    }
}

void LargeBlocks::insertFree(Block* block) {
    block->free = true;
    cached_ += block->touched;
    free_.insert(block);
}

void LargeBlocks::eraseFree(Block* block) {
    free_.erase(block);
    cached_ -= block->touched;
    block->free = false;
}

LargeBlocks::Piece LargeBlocks::use(Block* block, size_t bytes, size_t fresh) {
    if (block->bytes >= bytes + kLeast) {
        Block* const rest = new Block{block->segment,
                                      block->data + bytes,
                                      block->bytes - bytes,
                                      block->touched > bytes ? block->touched - bytes : 0,
                                      true,
                                      block->freedAt,
                                      block,
                                      block->after};
        (block->after ? block->after->before : block->segment->last) = rest;
        block->after = rest;
        block->bytes = bytes;
        insertFree(rest);
    }
    used_.emplace(block->data, block);
    return {block->data, block->bytes, fresh};
}

LargeBlocks::Segment* LargeBlocks::addSegment(size_t bytes) {
    size_t size = std::max(kSegment, roundUp(bytes, kHugePage));
    char* base = reserve(size);
    if (!base) base = reserve(size = roundUp(bytes, kHugePage));  // address space is limited here
    if (!base) return nullptr;
    segments_.push_back(new Segment{base, base, base + size, nullptr});
    return segments_.back();
}

// A block at the segment's end, of its last one if that is free and of what was never used; no data where
// that is too little.
LargeBlocks::Piece LargeBlocks::extend(Segment& segment, size_t bytes, uint64_t before) {
    Block* const last = segment.last;
    const bool grows = last && last->free && last->freedAt <= before;
    const size_t more =
        grows ? bytes - last->bytes : bytes;  // a free block that is large enough was taken before
    if (more > static_cast<size_t>(segment.end - segment.top)) return {};
    Block* block = last;
    if (grows) {
        eraseFree(last);
        last->bytes = bytes;
    } else {
        block = new Block{&segment, segment.top, bytes, 0, false, 0, last, nullptr};
        if (last) last->after = block;
        segment.last = block;
    }
    segment.top += more;
    return use(block, bytes, more);
}

LargeBlocks::Piece LargeBlocks::take(size_t bytes, uint64_t before) {
    bytes = roundUp(bytes, kUnit);
    Block wanted{nullptr, nullptr, bytes, 0, true, 0, nullptr, nullptr};
    for (auto found = free_.lower_bound(&wanted); found != free_.end(); ++found) {
        Block* const block = *found;
        if (block->freedAt > before) continue;
        const size_t fresh = bytes > block->touched ? bytes - block->touched : 0;
        eraseFree(block);
        return use(block, bytes, fresh);
    }
    for (Segment* segment : segments_) {
        const Piece piece = extend(*segment, bytes, before);
        if (piece.data) return piece;
    }
    Segment* const added = addSegment(bytes);
    return added ? extend(*added, bytes, before) : Piece{};
}

// `after`, free and not in the list any more, becomes a part of `block`, its neighbour.
void LargeBlocks::join(Block* block, Block* after) {
    block->bytes += after->bytes;
    block->touched += after->touched;
    block->freedAt = std::max(block->freedAt, after->freedAt);
    block->after = after->after;
    (after->after ? after->after->before : block->segment->last) = block;
    delete after;
}

size_t LargeBlocks::giveBack(void* data, uint64_t ticket) {
    const auto found = used_.find(data);
    Block* block = found->second;
    used_.erase(found);
    const size_t bytes = block->bytes;
    block->touched = bytes;
    block->freedAt = ticket;
    if (Block* const after = block->after; after && after->free) {
        eraseFree(after);
        join(block, after);
    }
    if (Block* const before = block->before; before && before->free) {
        eraseFree(before);
        join(before, block);
        block = before;
    }
    insertFree(block);
    return bytes;
}

void LargeBlocks::trim() {
    const auto isUnused = [](const Segment* segment) {
        return segment->last && !segment->last->before && segment->last->free;
    };
    for (Block* block : free_) {
        if (!isUnused(block->segment)) madvise(block->data, block->bytes, MADV_DONTNEED);
        block->touched = 0;
    }
    cached_ = 0;
    for (Segment*& segment : segments_) {
        if (!isUnused(segment)) continue;
        free_.erase(segment->last);
        delete segment->last;
        munmap(segment->base, static_cast<size_t>(segment->end - segment->base));
        delete segment;
        segment = nullptr;
    }
    segments_.erase(std::remove(segments_.begin(), segments_.end(), nullptr), segments_.end());
}

}  // namespace anneal
