#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu/held_up.h"

// For a function whose code there is to be once: copies inlined into different surroundings may fuse other
// products and sums, and so differ in the last bit.
#if defined(__GNUC__) && !defined(__clang__)
#define ANNEAL_ONE_COPY __attribute__((noinline, noclone))
#else
#define ANNEAL_ONE_COPY __attribute__((noinline))
#endif

namespace anneal::cpu {

// Elements per chunk below which a second thread costs more than it brings.
constexpr int64_t kGrain = 65536;

// Threads that have chunks of their own; others take them from these.
constexpr int64_t kMostShares = 32;

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

// One copy of a body's code for one thread and for many.
template <typename Body>
ANNEAL_ONE_COPY void runChunk(const Body& body, int64_t begin, int64_t end) {
    body(begin, end);
}

// Runs body(begin, end) over [0, count) in chunks of `grain`. Small work stays on the engine thread; large
// work goes to the team. Each thread has an equal share of the chunks, one after the other, so that what it
// reads it has mostly written itself, an op or two ago, and has in its caches; who is done helps the others
// out, so that a core taken by a neighbour delays one chunk only; while the team would be waited for
// (HeldUp), what takes little is done without it. Chunk borders depend on `grain` alone: results never depend
// on timing. `backwards` begins each share with its last chunk, which an earlier pass may have left in the
// cache.
template <typename Body>
void parallelFor(int64_t count, int64_t grain, const Body& body, bool backwards = false) {
    if (count <= 0) return;
    const int64_t chunks = (count + grain - 1) / grain;
    const int64_t threads = std::min<int64_t>({omp_get_max_threads(), chunks, kMostShares});
    const auto run = [&](int64_t chunk) {
        runChunk(body, chunk * grain, std::min(count, (chunk + 1) * grain));
    };
    if (threads == 1) {
        if (!backwards) return runChunk(body, 0, count);
        for (int64_t chunk = chunks - 1; chunk >= 0; chunk--) run(chunk);
        return;
    }
    // What this thread does alone, while another would be waited for.
    HeldUp& heldUp = HeldUp::here();
    int64_t first = 0, last = chunks;
    if (const auto start = HeldUp::Clock::now(); heldUp.now(start)) {
        do {
            run(backwards ? --last : first++);
        } while (first < last && HeldUp::Clock::now() - start < HeldUp::kAlone);
        if (first == last) return;
    }
    struct alignas(64) Share {
        int64_t begin, end;
        std::atomic<int64_t> taken{0};
    };
    Share shares[kMostShares];
    for (int64_t i = 0; i < threads; i++) {
        shares[i].begin = first + (last - first) * i / threads;
        shares[i].end = first + (last - first) * (i + 1) / threads;
    }
    std::atomic<int64_t> begun{0};
    HeldUp::Clock::time_point done;
    bool missing = false;
#pragma omp parallel
    {
        const int64_t thread = omp_get_thread_num(), own = thread % threads;
        begun.fetch_add(1, std::memory_order_relaxed);
        for (int64_t i = 0; i < threads; i++) {
            Share& share = shares[(own + i) % threads];
            const int64_t size = share.end - share.begin;
            for (int64_t taken; (taken = share.taken.fetch_add(1, std::memory_order_relaxed)) < size;) {
                run(backwards ? share.end - 1 - taken : share.begin + taken);
            }
        }
        if (thread == 0 && begun.load(std::memory_order_relaxed) < omp_get_num_threads()) {
            missing = true;
            done = HeldUp::Clock::now();
        }
    }
    missing ? heldUp.waited(done, HeldUp::Clock::now()) : heldUp.allCame();
}

}  // namespace anneal::cpu
