#pragma once

#include "core/allocator.h"
#include "core/random.h"
#include "core/stream.h"
#include "core/tensor.h"

namespace anneal {

// Everything that one JavaScript thread needs of the engine: its stream, its memory, its random numbers.
// Worker threads have a context each and share nothing, so none of this needs locks.
class Context {
  public:
    Context();
    ~Context();

    Stream& stream() { return stream_; }
    CachingAllocator& allocator() { return allocator_; }
    Generator& generator() { return generator_; }

    // Uninitialised memory. `forHost`: the caller writes into it at once instead of enqueuing a kernel.
    Tensor empty(DType dtype, const Dims& sizes, bool forHost = false);
    Tensor empty(DType dtype, const Dims& sizes, const Dims& strides, bool forHost = false);
    // Dtype, sizes and memory order of `like` (dense order kept, otherwise contiguous).
    Tensor emptyLike(const Tensor& like);
    Tensor emptyLike(const Tensor& like, DType dtype);
    // [N, C, H, W] in channels-last order.
    Tensor emptyChannelsLast(DType dtype, const Dims& sizes);

    // Scratch memory for a kernel that is enqueued next: released right after enqueuing, it is reused in
    // stream order.
    Tensor scratch(size_t bytes) { return empty(DType::UInt8, Dims{static_cast<int64_t>(bytes)}); }

    template <typename Body>
    void enqueue(const char* op, Body&& body) {
        stream_.enqueue(op, std::forward<Body>(body));
    }

  private:
    Stream stream_;
    CachingAllocator allocator_;
    Generator generator_;
};

}  // namespace anneal
