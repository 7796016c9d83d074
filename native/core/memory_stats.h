#pragma once

#include <cstddef>

namespace anneal {

struct MemoryStats {
    size_t inUse = 0;        // bytes held by live storages
    size_t cached = 0;       // bytes kept for reuse
    size_t peak = 0;         // highest inUse so far
    size_t allocations = 0;  // times that memory was asked from the system
};

}  // namespace anneal
