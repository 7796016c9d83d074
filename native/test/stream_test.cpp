#include "core/stream.h"

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "testing.h"

namespace {

TEST("stream: what is abandoned is destroyed without being run, and what runs comes to its end") {
    std::atomic<int> ran{0};
    std::atomic<bool> begun{false}, go{false}, ended{false};
    const auto held = std::make_shared<int>(0);
    anneal::Stream stream;
    stream.enqueue("slow", [&] {
        begun = true;
        while (!go) std::this_thread::yield();
        ended = true;
    });
    for (int i = 0; i < 1000; i++) stream.enqueue("dropped", [&ran, held] { ran++; });
    // Larger than a slot: kept on the heap.
    stream.enqueue("dropped", [&ran, held, ballast = std::array<char, 4096>()] { ran += ballast[0] + 1; });
    while (!begun) std::this_thread::yield();
    std::thread later([&] { go = true; });
    stream.abandon();
    later.join();
    CHECK(ended);
    CHECK(stream.completed() == stream.enqueued());
    // The one that ran when the queue was abandoned may have been any.
    CHECK(held.use_count() == 1);
    const int before = ran;
    stream.enqueue("late", [&ran, held] { ran++; });
    stream.wait();
    CHECK(ran == before);
    CHECK(held.use_count() == 1);
}

}  // namespace
