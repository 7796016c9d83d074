#include "cpu/scratch.h"

#include <sys/mman.h>

#include <cstdlib>
#include <deque>

#include "core/error.h"

namespace anneal::cpu {

namespace {

constexpr size_t kHugePage = 2 << 20;

}  // namespace

Buffer::~Buffer() { std::free(data_); }

void* Buffer::get(size_t bytes) {
    if (bytes > bytes_ || !data_) {
        std::free(data_);
        const size_t page = bytes < kHugePage / 4 ? 4096 : kHugePage;
        bytes_ = (bytes + page - 1) / page * page;
        data_ = std::aligned_alloc(page, bytes_);
#ifdef MADV_HUGEPAGE
        if (data_ && page == kHugePage) madvise(data_, bytes_, MADV_HUGEPAGE);
#endif
        if (!data_) {
            bytes_ = 0;
            fail(ErrorKind::OutOfMemory, "out of memory: ", bytes, " bytes of scratch space asked for");
        }
    }
    return data_;
}

void* scratch(int slot, size_t bytes) {
    constexpr int kSlots = 4;
    thread_local Buffer buffers[kSlots];
    return buffers[slot].get(bytes);
}

void* scratchOf(int64_t thread, int slot, size_t bytes) {
    constexpr int kSlots = 2;
    struct Own {
        Buffer buffers[kSlots];
    };
    thread_local std::deque<Own> threads;
    while (static_cast<int64_t>(threads.size()) <= thread) threads.emplace_back();
    return threads[thread].buffers[slot].get(bytes);
}

}  // namespace anneal::cpu
