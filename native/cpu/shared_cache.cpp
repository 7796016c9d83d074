#include "cpu/shared_cache.h"

#include <omp.h>

#include <atomic>
#include <chrono>

namespace anneal::cpu {

namespace {

using Clock = std::chrono::steady_clock;
using Nanoseconds = std::chrono::duration<double, std::nano>;

// On Zen 4 a word takes 27 ns between cores that share a cache, and 157 between others.
constexpr Nanoseconds kNear{60};
constexpr auto kInterval = std::chrono::milliseconds(50);
// A thread that has not come by then is kept from its core by a neighbour.
constexpr auto kPatience = std::chrono::microseconds(50);

// The time that a word takes from the first thread to the last, or back; nothing if one of them was held up.
std::optional<Nanoseconds> wordTime() {
    constexpr int kBatches = 6, kRoundTrips = 8, kTrips = 2 * kRoundTrips;
    constexpr int kAbandoned = -1;
    alignas(64) std::atomic<int> turn{0};  // how many trips the word has made
    std::optional<Nanoseconds> least;
    // False if the other thread does not send it within the time.
    const auto await = [&](int trips, Clock::time_point end) {
        constexpr int kLooks = 64;  // between those at the clock, which take about as long as a trip
        for (int looks = 1;; looks++) {
            const int now = turn.load(std::memory_order_acquire);
            if (now == trips) return true;
            if (now == kAbandoned) return false;
            if (looks % kLooks == 0 && Clock::now() > end) break;
        }
        turn.store(kAbandoned);
        return false;
    };
#pragma omp parallel
    {
        const int last = omp_get_num_threads() - 1, self = omp_get_thread_num();
        const auto end = Clock::now() + kPatience;
        const bool first = self == 0;
        Clock::time_point start;
        // The first batch waits for the other thread.
        for (int trip = 0; last > 0 && (first || self == last) && trip < kBatches * kTrips; trip += 2) {
            if (first) {
                if (trip % kTrips == 0) {
                    const auto now = Clock::now();
                    if (trip > kTrips) {
                        const Nanoseconds time = Nanoseconds(now - start) / kTrips;
                        if (!least || time < *least) least = time;
                    }
                    start = now;
                }
                turn.store(trip + 1, std::memory_order_release);
                if (!await(trip + 2, end)) break;
            } else {
                if (!await(trip + 1, end)) break;
                turn.store(trip + 2, std::memory_order_release);
            }
        }
    }
    return least;
}

std::optional<bool> assumed;
thread_local bool shared = true;

}  // namespace

void assumeSharedCache(std::optional<bool> answer) { assumed = answer; }

bool coresShareCache() {
    if (assumed) return *assumed;
    return shared || omp_get_max_threads() == 1;
}

void measureSharedCache() {
    if (assumed || omp_get_max_threads() == 1) return;
    thread_local Clock::time_point next;
    if (Clock::now() < next) return;
    if (const auto time = wordTime()) shared = *time < kNear;
    next = Clock::now() + kInterval;
}

}  // namespace anneal::cpu
