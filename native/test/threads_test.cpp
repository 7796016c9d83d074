#include "core/stream.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "core/allocator.h"
#include "core/context.h"
#include "core/error.h"
#include "core/recording.h"
#include "picture/thread_pool.h"
#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

// The queue, the memory behind it and the threads around it, as several worker threads of Node use them at
// once. Written for ThreadSanitizer (`npm run test:tsan`), and quick enough to run without. No kernels: the
// teams of OpenMP's library, which the sanitizer does not see into, stay out of it.

namespace {

using anneal::Context;
using anneal::Dims;
using anneal::DType;
using anneal::Stream;
using anneal::Tensor;

class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed * 2654435761 + 1) {}
    uint64_t below(uint64_t limit) {
        state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
        return (state_ >> 33) % limit;
    }

  private:
    uint64_t state_;
};

// Runs `body(number)` in so many threads at once; the first failure is thrown again.
template <typename Body>
void together(int count, const Body& body) {
    std::vector<std::exception_ptr> failures(static_cast<size_t>(count));
    std::vector<std::thread> threads;
    for (int i = 0; i < count; i++) {
        threads.emplace_back([&, i] {
            try {
                body(i);
            } catch (...) {
                failures[static_cast<size_t>(i)] = std::current_exception();
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures) {
        if (failure) std::rethrow_exception(failure);
    }
}

TEST("stream: what is enqueued runs in order, and is seen by who has waited") {
    together(3, [](int number) {
        Stream stream;
        Random random(static_cast<uint64_t>(number));
        // Neither is atomic: the queue alone keeps the two sides apart.
        uint64_t ran = 0, wrong = 0;
        for (uint64_t i = 0; i < 20'000; i++) {
            stream.enqueue("count", [&ran, &wrong, i] { wrong += ran++ != i; });
            if (random.below(500) == 0) {
                stream.wait();
                CHECK(ran == i + 1);
            } else if (random.below(500) == 0 && stream.waitBriefly(20'000)) {
                CHECK(ran == i + 1);
            }
            if (random.below(2000) == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
        stream.wait();
        CHECK(ran == 20'000 && wrong == 0 && stream.completed() == stream.enqueued());
    });
}

TEST("stream: a full queue makes who fills it wait") {
    Stream stream;
    uint64_t ran = 0;
    stream.enqueue("slow", [] { std::this_thread::sleep_for(std::chrono::milliseconds(30)); });
    for (int i = 0; i < 10'000; i++) stream.enqueue("count", [&ran] { ran++; });
    stream.wait();
    CHECK(ran == 10'000);
}

TEST("stream: failures are kept for who asks, one at a time, and what follows runs") {
    together(2, [](int number) {
        Stream stream;
        Random random(static_cast<uint64_t>(number) + 7);
        uint64_t ran = 0, thrown = 0, taken = 0;
        for (int i = 0; i < 5'000; i++) {
            if (random.below(3) == 0) {
                stream.enqueue("fails", [] { anneal::fail(anneal::ErrorKind::Kernel, "on purpose"); });
            } else if (random.below(20) == 0) {
                // As asynchronous reads do, on the engine's thread.
                stream.enqueue("read", [&] { taken += stream.takePendingError() != nullptr; });
            } else {
                stream.enqueue("count", [large = std::vector<char>(random.below(700)), &ran] {
                    ran += large.size() < 1000;
                });
            }
            if (random.below(50) == 0) {
                try {
                    stream.throwPendingError();
                } catch (const anneal::Error& failure) {
                    thrown++;
                    CHECK(std::strcmp(failure.what(), "fails: on purpose") == 0);
                }
            }
            if (stream.hasPendingError() && random.below(100) == 0) stream.wait();
        }
        stream.wait();
        while (stream.takePendingError()) thrown++;
        CHECK(ran > 1000 && thrown > 0 && taken > 0);
    });
}

TEST("stream: profiling may come and go while there is work") {
    Stream stream;
    for (int turn = 0; turn < 50; turn++) {
        stream.setProfiling(turn % 2 == 0);
        for (int i = 0; i < 50; i++) stream.enqueue("work", [] {});
        const auto times = stream.profile();
        CHECK(turn % 2 == 0 ? times.size() == 1 && times[0].count == 50 : times.empty());
    }
}

TEST("stream: ends with what is in its queue done, whether it slept, spun or worked") {
    together(3, [](int number) {
        Random random(static_cast<uint64_t>(number) + 99);
        for (int turn = 0; turn < 200; turn++) {
            uint64_t ran = 0;
            const uint64_t count = random.below(30);
            {
                Stream stream;
                for (uint64_t i = 0; i < count; i++) stream.enqueue("count", [&ran] { ran++; });
                if (random.below(3) == 0)
                    std::this_thread::sleep_for(std::chrono::microseconds(random.below(400)));
            }
            CHECK(ran == count);
        }
    });
}

// Fills with `value` through the queue, or at once where `atOnce`.
Tensor filled(Context& context, int64_t count, float value, bool atOnce) {
    Tensor made = context.empty(DType::Float32, Dims{count}, atOnce);
    const auto fill = [data = static_cast<float*>(made.data()), count, value] {
        for (int64_t i = 0; i < count; i++) data[i] = value;
    };
    if (atOnce) {
        fill();
    } else {
        context.enqueue("fill", fill);
    }
    return made;
}

Tensor copied(Context& context, const Tensor& source) {
    Tensor made = context.empty(DType::Float32, source.sizes());
    context.enqueue("copy", [to = made.data(), from = source.data(), bytes = source.bytes()] {
        std::memcpy(to, from, bytes);
    });
    return made;
}

TEST("allocator: each thread's memory is its own, whatever is freed and given out while work is queued") {
    together(4, [](int number) {
        Context context;
        Random random(static_cast<uint64_t>(number) + 5);
        struct Held {
            Tensor tensor;
            float value;
        };
        std::vector<Held> held;
        for (int turn = 0; turn < 1'500; turn++) {
            const bool large = random.below(40) == 0;
            const auto count =
                static_cast<int64_t>(large ? 300'000 + random.below(200'000) : 1 + random.below(5'000));
            const auto value = static_cast<float>(random.below(1000));
            held.push_back({filled(context, count, value, random.below(3) == 0), value});
            if (random.below(4) == 0) {
                Held& one = held[random.below(held.size())];
                one.tensor = copied(context, one.tensor);
            }
            while (held.size() > 12) {
                std::swap(held[random.below(held.size())], held.back());
                held.pop_back();
            }
            if (random.below(60) == 0) {
                context.stream().wait();
                for (const Held& one : held) {
                    const auto* const data = static_cast<const float*>(one.tensor.data());
                    for (int64_t i = 0; i < one.tensor.numel(); i += 97) CHECK(data[i] == one.value);
                }
            }
            if (random.below(200) == 0) context.emptyCache();
            if (random.below(100) == 0)
                CHECK_THROWS(context.empty(DType::Float32, Dims{int64_t{1} << 50}), "out of memory");
        }
        held.clear();
        context.synchronize();
        CHECK_EQUAL(context.allocator().stats().inUse, size_t{0});
    });
}

TEST("allocator: recordings keep their memory while others come and go") {
    together(3, [](int number) {
        Random random(static_cast<uint64_t>(number) + 31);
        for (int turn = 0; turn < 20; turn++) {
            Context context;
            const auto count = static_cast<int64_t>(1 + random.below(3000));
            Tensor sum = filled(context, count, 0, false);
            context.beginRecording();
            Tensor one = filled(context, count, 1, false);
            context.making()->keep(sum.storage());
            context.enqueue("add", [to = static_cast<float*>(sum.data()),
                                    from = static_cast<const float*>(one.data()), count] {
                for (int64_t i = 0; i < count; i++) to[i] += from[i];
            });
            one = Tensor();
            const auto recording = context.endRecording();
            for (int i = 0; i < 9; i++) {
                context.replay(recording);
                filled(context, count, 5, random.below(2) == 0);
            }
            context.stream().wait();
            CHECK_EQUAL(static_cast<const float*>(sum.data())[count - 1], 10.0F);
        }
    });
}

TEST("thread pool: jobs of many lanes from many threads, and an end in their midst") {
    for (int turn = 0; turn < 10; turn++) {
        std::atomic<int> ran{0}, now{0}, most{0};
        auto pool = std::make_unique<anneal::picture::ThreadPool>();
        together(3, [&](int number) {
            for (int i = 0; i < 60; i++) {
                pool->run(
                    [&] {
                        const int running = ++now;
                        int before = most.load();
                        while (running > before && !most.compare_exchange_weak(before, running)) {
                        }
                        std::this_thread::sleep_for(std::chrono::microseconds(50));
                        now--;
                        ran++;
                    },
                    number + 1, 2);
            }
        });
        if (turn % 2 == 0) {
            while (ran < 180) std::this_thread::yield();
        }
        pool.reset();
        CHECK(now == 0 && most <= 6 && ran <= 180);
    }
}

}  // namespace
