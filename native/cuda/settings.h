#pragma once

#include <atomic>

namespace anneal::cuda {

// Whether float32 products and convolutions may be computed from 19 bits of their operands (TF32).
inline std::atomic<bool>& tf32Setting() {
    static std::atomic<bool> allowed{false};
    return allowed;
}
inline bool allowsTf32() { return tf32Setting().load(std::memory_order_relaxed); }

}  // namespace anneal::cuda
