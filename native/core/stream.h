#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace anneal {

class Recording;

namespace detail {
void addToRecording(Recording& recording, const char* op, std::shared_ptr<void> body, void (*run)(void*));
}

// The CPU device: a queue of kernels drained in order by one engine thread, which leads the OpenMP team.
// One thread enqueues (the one that runs JavaScript); handing over costs tens of nanoseconds while the engine
// is busy or spinning, and a wake-up only when it has gone to sleep.
class Stream {
  public:
    Stream();
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Runs `body` on the engine thread after everything enqueued before. `op` must outlive the stream (a
    // literal). Kernels capture raw pointers: the allocator reuses blocks in stream order, so nothing needs
    // to be kept alive.
    template <typename Body>
    void enqueue(const char* op, Body&& body) {
        if (__builtin_expect(recording_ != nullptr, 0)) return enqueueRecorded(op, std::forward<Body>(body));
        enqueueOnce(op, std::forward<Body>(body));
    }

    // As enqueue, for what a recording is not to repeat.
    template <typename Body>
    void enqueueOnce(const char* op, Body&& body) {
        using Stored = std::decay_t<Body>;
        Slot& slot = claim(op);
        if constexpr (sizeof(Stored) <= kInlineBytes && alignof(Stored) <= alignof(std::max_align_t)) {
            new (slot.storage) Stored(std::forward<Body>(body));
            slot.take = [](void* storage, bool run) {
                Stored& stored = *static_cast<Stored*>(storage);
                struct Destroy {
                    Stored& target;
                    ~Destroy() { target.~Stored(); }
                } destroy{stored};
                if (run) stored();
            };
        } else {
            *reinterpret_cast<Stored**>(slot.storage) = new Stored(std::forward<Body>(body));
            slot.take = [](void* storage, bool run) {
                std::unique_ptr<Stored> stored(*static_cast<Stored**>(storage));
                if (run) (*stored)();
            };
        }
        publish();
    }

    // Tickets: `enqueued()` counts what was put in, `completed()` what has run.
    uint64_t enqueued() const { return tail_.load(std::memory_order_relaxed); }
    uint64_t completed() const { return head_.load(std::memory_order_acquire); }
    // Blocks until everything enqueued so far has run.
    void wait();
    // Waits for the op that runs now; nothing that was enqueued after it, or is from now on, is run any more.
    // Nobody will ask for results: the process or the thread that enqueues is about to end.
    void abandon();
    // Spins so long at most; tells whether everything enqueued so far has run.
    bool waitBriefly(int64_t nanoseconds);
    // Throws the first failure since the last call, if there was one, and forgets it.
    void throwPendingError();
    bool hasPendingError() const { return failed_.load(std::memory_order_acquire); }
    // The pending failure as text, taken from the queue; called on the engine thread by asynchronous reads.
    std::exception_ptr takePendingError();

    // What is enqueued goes into it as well, until it is null again.
    Recording* recording() const { return recording_; }
    void setRecording(Recording* recording) { recording_ = recording; }

    // Run every op to its end before returning from enqueue (ANNEAL_SYNC=1).
    bool synchronous = false;

    // What the ops took since profiling was switched on, in the order of their names. Both wait for the
    // queue.
    struct OpTime {
        std::string op;
        uint64_t count = 0;
        double seconds = 0;
    };
    void setProfiling(bool enabled);
    bool profiling() const { return profiling_.load(std::memory_order_relaxed); }
    std::vector<OpTime> profile();

  private:
    // Four views and a little: all but a few kernels, which have to go through the heap of two threads.
    static constexpr size_t kInlineBytes = 752;
    static constexpr uint64_t kCapacity = 4096;

    struct alignas(64) Slot {
        void (*take)(void*, bool run) = nullptr;  // destroys what is stored, having run it or not
        const char* op = nullptr;
        alignas(std::max_align_t) unsigned char storage[kInlineBytes];
    };

    template <typename Body>
    void enqueueRecorded(const char* op, Body&& body) {
        using Stored = std::decay_t<Body>;
        auto shared = std::make_shared<Stored>(std::forward<Body>(body));
        detail::addToRecording(*recording_, op, shared, [](void* it) { (*static_cast<Stored*>(it))(); });
        enqueueOnce(op, [shared] { (*shared)(); });
    }

    Slot& claim(const char* op);
    void publish();
    void drain();
    void runOne(Slot& slot);
    void runTimed(Slot& slot);

    Recording* recording_ = nullptr;
    std::unique_ptr<Slot[]> slots_;
    alignas(64) std::atomic<uint64_t> tail_{0};  // next to be written
    alignas(64) uint64_t seenHead_ = 0;          // what whoever enqueues knows of `head_`
    alignas(64) std::atomic<uint64_t> head_{0};  // next to be run
    alignas(64) std::atomic<bool> engineSleeps_{false};
    std::atomic<bool> hostSleeps_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> abandoned_{false};
    std::atomic<bool> failed_{false};
    std::atomic<bool> profiling_{false};
    // What is only needed to sleep, to fail and to end: out of the header that every kernel includes.
    struct Rest;
    std::unique_ptr<Rest> rest_;
};

}  // namespace anneal
