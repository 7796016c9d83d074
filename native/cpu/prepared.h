#pragma once

#include <cstdint>
#include <vector>

#include "cpu/parallel.h"
#include "cpu/scratch.h"
#include "cpu/shared_cache.h"

// Memory of the team's threads, and what they prepare in it: together, or each for itself.
namespace anneal::cpu {

// A thread's memory: for the blocks of tiles that it works on, and for what it reads or sums across them.
constexpr int kBlockSlot = 0, kAcrossSlot = 1;

// Of one thread: scratchOf.
inline float* ownFloats(int64_t thread, int slot, int64_t floats) {
    return static_cast<float*>(scratchOf(thread, slot, static_cast<size_t>(floats) * sizeof(float)));
}

// Memory that each thread has for itself.
class Own {
  public:
    Own(int slot, int64_t floats) {
        for (int64_t thread = 0; thread < omp_get_max_threads(); thread++)
            of_.push_back(ownFloats(thread, slot, floats));
    }
    float* of(int64_t thread) const { return of_[thread]; }
    float* here() const { return of_[omp_get_thread_num()]; }

  private:
    std::vector<float*> of_;
};

// What all threads read. The team makes it together, or each thread makes a copy for itself: what another has
// written comes out of its caches, and where the cores share none, that takes up to as long as the products.
// Where they share one, copies would push each other out of it. Results are the same.
class Prepared {
  public:
    Prepared(int64_t floats, bool copied) : made_(omp_get_max_threads()) {
        for (int64_t thread = 0; thread < (copied ? omp_get_max_threads() : 1); thread++)
            copies_.push_back(ownFloats(thread, kAcrossSlot, floats));
    }
    // Whether copies take less time, where making it once costs `cost`.
    static bool worthCopying(int64_t cost, int64_t productCost) {
        constexpr int64_t kLittle = 4;
        const int64_t threads = omp_get_max_threads();
        return threads > 1 && kLittle * cost * threads < productCost && !coresShareCache();
    }
    // What this thread reads.
    float* data() const { return copies_[copied() ? omp_get_thread_num() : 0]; }

    // Both call make(begin, end) for what is in [0, count): the one before threads use it, the other as each
    // begins to.
    template <typename Make>
    void together(int64_t count, int64_t grain, const Make& make) const {
        if (!copied()) parallelFor(count, grain, make);
    }
    template <typename Make>
    void apart(int64_t count, const Make& make) {
        if (!copied() || made_[omp_get_thread_num()]) return;
        runChunk(make, int64_t{0}, count);
        made_[omp_get_thread_num()] = true;
    }

  private:
    bool copied() const { return copies_.size() > 1; }

    std::vector<float*> copies_;
    std::vector<char> made_;
};

}  // namespace anneal::cpu
