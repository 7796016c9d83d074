#include "cpu/parallel.h"

#include <vector>

#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

// Work shared among threads: every chunk once, whatever a neighbour does.
namespace anneal::cpu {

namespace {

using Clock = HeldUp::Clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

void checkEachOnce(int64_t count, int64_t grain, bool backwards) {
    std::vector<std::atomic<int>> visits(static_cast<size_t>(count));
    parallelFor(
        count, grain,
        [&](int64_t begin, int64_t end) {
            CHECK_EQUAL(begin % grain, int64_t{0});
            CHECK(end == count || end - begin == grain);
            for (int64_t i = begin; i < end; i++) visits[static_cast<size_t>(i)]++;
        },
        backwards);
    for (const std::atomic<int>& visit : visits) CHECK_EQUAL(visit.load(), 1);
}

TEST("parallel: every chunk once") {
    for (const int64_t count : {1, 7, 64, 1000}) {
        for (const int64_t grain : {1, 3, 100}) {
            if (grain < count || count == 1) {
                checkEachOnce(count, grain, false);
                checkEachOnce(count, grain, true);
            }
        }
    }
}

TEST("parallel: every chunk once while another thread is held up") {
    for (const bool backwards : {false, true}) {
        const auto now = Clock::now();
        HeldUp::here().waited(now - milliseconds(3), now);
        CHECK(HeldUp::here().now(Clock::now()));
        checkEachOnce(1000, 3, backwards);
    }
    // Work that takes longer than one thread keeps for itself.
    std::atomic<int64_t> total{0};
    const auto now = Clock::now();
    HeldUp::here().waited(now - milliseconds(3), now);
    parallelFor(40, 1, [&](int64_t begin, int64_t end) {
        const auto start = Clock::now();
        while (Clock::now() - start < microseconds(100)) continue;
        total += end * (end + 1) / 2 - begin * (begin + 1) / 2;
    });
    CHECK_EQUAL(total.load(), int64_t{40 * 41 / 2});
}

TEST("parallel: who waited long works alone for a while, and for longer each time") {
    HeldUp heldUp;
    const Clock::time_point start{};
    heldUp.waited(start, start + microseconds(100));
    CHECK(!heldUp.now(start + microseconds(101)));
    // For 2 ms, and then for 4.
    heldUp.waited(start, start + milliseconds(1));
    CHECK(heldUp.now(start + microseconds(2900)));
    CHECK(!heldUp.now(start + microseconds(3100)));
    heldUp.waited(start + milliseconds(3), start + milliseconds(4));
    CHECK(heldUp.now(start + microseconds(7900)));
    CHECK(!heldUp.now(start + microseconds(8100)));
    heldUp.allCame();
    heldUp.allCame();
    heldUp.waited(start + milliseconds(9), start + milliseconds(10));
    CHECK(heldUp.now(start + microseconds(11900)));
    CHECK(!heldUp.now(start + microseconds(12100)));
    // Never for longer than 64 ms.
    for (int i = 0; i < 20; i++) heldUp.waited(start, start + milliseconds(20));
    CHECK(heldUp.now(start + milliseconds(83)));
    CHECK(!heldUp.now(start + milliseconds(85)));
}

}  // namespace

}  // namespace anneal::cpu
