#pragma once

#include <cstdint>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace anneal::cpu {

// While it lives, numbers below the smallest normal one (1.2e-38 in float32) are zero on this thread. A
// processor takes a hundred cycles or more for an operation with one; averages that nothing feeds any more
// fade into them and stay there.
class FlushSubnormals {
  public:
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

#if defined(__SSE2__)
    FlushSubnormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kResults | kOperands); }
    ~FlushSubnormals() { _mm_setcsr(before_); }

  private:
    static constexpr unsigned kResults = 1u << 15, kOperands = 1u << 6;  // of the register MXCSR
    unsigned before_;
#elif defined(__aarch64__)
    FlushSubnormals() {
        asm volatile("mrs %0, fpcr" : "=r"(before_));
        asm volatile("msr fpcr, %0" : : "r"(before_ | kFlush));
    }
    ~FlushSubnormals() { asm volatile("msr fpcr, %0" : : "r"(before_)); }

  private:
    static constexpr uint64_t kFlush = uint64_t{1} << 24;  // of the register FPCR
    uint64_t before_;
#else
    FlushSubnormals() = default;
#endif
};

}  // namespace anneal::cpu
