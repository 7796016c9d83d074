#pragma once

#include <cstddef>
#include <cstdint>

// What kernels need beside their operands.
namespace anneal::cpu {

// Memory that only grows, and whose contents are lost when it does.
class Buffer {
  public:
    Buffer() = default;
    ~Buffer();
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    // Of at least `bytes`; throws ErrorKind::OutOfMemory.
    void* get(size_t bytes);

  private:
    void* data_ = nullptr;
    size_t bytes_ = 0;
};

// Memory that lives until the next kernel runs; each engine thread has its own and it only grows. `slot`
// tells buffers apart that one kernel uses at the same time.
void* scratch(int slot, size_t bytes);
// The same for one thread of the team. It lies where it lay for the kernel before, and so in the caches of
// the core that this thread runs on; out of another's caches it would take as long as from memory.
void* scratchOf(int64_t thread, int slot, size_t bytes);

}  // namespace anneal::cpu
