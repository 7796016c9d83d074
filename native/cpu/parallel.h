#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace anneal::cpu {

// Elements per chunk below which a second thread costs more than it brings.
constexpr int64_t kGrain = 65536;

// Keeps the team out of what a library runs, while `alone`: calling it together costs as much as some tens of
// microseconds of one thread's work, and more when a neighbour holds a core.
class OneThread {
  public:
    explicit OneThread(bool alone) : before_(omp_get_max_threads()) {
        if (alone && before_ > 1) omp_set_num_threads(1);
    }
    ~OneThread() {
        if (before_ != omp_get_max_threads()) omp_set_num_threads(before_);
    }
    OneThread(const OneThread&) = delete;
    OneThread& operator=(const OneThread&) = delete;

  private:
    int before_;
};

// One copy of a body's code for one thread and for many: copies inlined into different surroundings may fuse
// other products and sums, and so differ in the last bit.
template <typename Body>
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((noinline, noclone))
#else
__attribute__((noinline))
#endif
void runChunk(const Body& body, int64_t begin, int64_t end) {
    body(begin, end);
}

// Runs body(begin, end) over [0, count) in chunks of `grain`. Small work stays on the engine thread; large
// work goes to the team, which claims chunks one by one so that a core taken by a neighbour delays one chunk
// only. Chunk borders depend on `grain` alone: results never depend on timing.
template <typename Body>
void parallelFor(int64_t count, int64_t grain, const Body& body) {
    if (count <= 0) return;
    const int64_t chunks = (count + grain - 1) / grain;
    if (chunks == 1 || omp_get_max_threads() == 1) {
        runChunk(body, 0, count);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
        runChunk(body, chunk * grain, std::min(count, (chunk + 1) * grain));
    }
}

}  // namespace anneal::cpu
