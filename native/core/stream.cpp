#include "core/stream.h"

#include <chrono>

#include "core/error.h"

namespace anneal {

namespace {

// Measured on two cores: 2,000 pauses bridge the gaps between the ops of a training step without a futex
// call.
constexpr int kSpins = 2000;

// Bytes of a slot that most ops use.
constexpr size_t kFetched = 256;

inline void pause() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

Stream::Stream() : slots_(new Slot[kCapacity]), thread_([this] { drain(); }) {}

Stream::~Stream() {
    stopping_.store(true);
    {
        std::lock_guard<std::mutex> lock(mutex_);
        wakeEngine_.notify_one();
    }
    thread_.join();
}

Stream::Slot& Stream::claim(const char* op) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seenHead_ >= kCapacity) seenHead_ = head_.load(std::memory_order_acquire);
    if (tail - seenHead_ >= kCapacity) {
        // The queue is full: JavaScript is thousands of ops ahead. Wait until a slot is free.
        std::unique_lock<std::mutex> lock(mutex_);
        hostSleeps_.store(true);
        wakeHost_.wait(lock, [&] { return tail - head_.load() < kCapacity; });
        hostSleeps_.store(false);
        seenHead_ = head_.load();
    }
    // The engine's core holds what it has read there last: it comes over while JavaScript is busy.
    const char* const next = reinterpret_cast<const char*>(&slots_[(tail + 1) % kCapacity]);
    for (size_t line = 0; line < kFetched; line += 64) __builtin_prefetch(next + line, 1);
    Slot& slot = slots_[tail % kCapacity];
    slot.op = op;
    return slot;
}

void Stream::publish() {
    tail_.store(tail_.load(std::memory_order_relaxed) + 1);
    // Sequentially consistent with the engine's own store-then-check, so that a wake-up cannot be missed.
    if (engineSleeps_.load()) {
        std::lock_guard<std::mutex> lock(mutex_);
        wakeEngine_.notify_one();
    }
    if (synchronous) wait();
}

void Stream::runOne(Slot& slot) {
    try {
        slot.take(slot.storage, !abandoned_.load(std::memory_order_relaxed));
    } catch (const std::exception& failure) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) {
            const auto* known = dynamic_cast<const Error*>(&failure);
            const ErrorKind kind = known ? known->kind() : ErrorKind::Kernel;
            const bool named = dynamic_cast<const OpError*>(&failure) != nullptr;
            error_ = std::make_exception_ptr(
                Error(kind, named ? failure.what() : std::string(slot.op) + ": " + failure.what()));
            failed_.store(true, std::memory_order_release);
        }
    }
}

void Stream::runTimed(Slot& slot) {
    const auto start = std::chrono::steady_clock::now();
    runOne(slot);
    OpTime& time = times_[slot.op];
    time.count++;
    time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Stream::setProfiling(bool enabled) {
    wait();
    times_.clear();
    profiling_.store(enabled);
}

std::map<std::string, Stream::OpTime> Stream::profile() {
    wait();
    std::map<std::string, OpTime> result;  // a name may have several addresses
    for (const auto& [op, time] : times_) {
        OpTime& total = result[op];
        total.count += time.count;
        total.seconds += time.seconds;
    }
    return result;
}

void Stream::drain() {
    uint64_t head = 0;
    for (;;) {
        int spins = 0;
        while (tail_.load(std::memory_order_acquire) == head) {
            if (++spins < kSpins) {
                pause();
                continue;
            }
            std::unique_lock<std::mutex> lock(mutex_);
            engineSleeps_.store(true);
            wakeEngine_.wait(lock, [&] { return tail_.load() != head || stopping_.load(); });
            engineSleeps_.store(false);
            if (tail_.load() == head && stopping_.load()) return;
            spins = 0;
        }
        Slot& slot = slots_[head % kCapacity];
        profiling_.load(std::memory_order_relaxed) ? runTimed(slot) : runOne(slot);
        head_.store(++head);
        if (hostSleeps_.load()) {
            std::lock_guard<std::mutex> lock(mutex_);
            wakeHost_.notify_all();
        }
    }
}

bool Stream::waitBriefly(std::chrono::nanoseconds limit) {
    const uint64_t target = tail_.load(std::memory_order_relaxed);
    const auto end = std::chrono::steady_clock::now() + limit;
    do {
        for (int spins = 0; spins < 50; spins++) {
            if (head_.load(std::memory_order_acquire) >= target) return true;
            pause();
        }
    } while (std::chrono::steady_clock::now() < end);
    return false;
}

void Stream::wait() {
    const uint64_t target = tail_.load(std::memory_order_relaxed);
    if (waitBriefly(std::chrono::microseconds(50))) return;
    std::unique_lock<std::mutex> lock(mutex_);
    hostSleeps_.store(true);
    wakeHost_.wait(lock, [&] { return head_.load() >= target; });
    hostSleeps_.store(false);
}

void Stream::abandon() {
    abandoned_.store(true);
    wait();
}

std::exception_ptr Stream::takePendingError() {
    if (!failed_.load(std::memory_order_acquire)) return nullptr;
    std::lock_guard<std::mutex> lock(mutex_);
    std::exception_ptr error = std::exchange(error_, nullptr);
    failed_.store(false, std::memory_order_release);
    return error;
}

void Stream::throwPendingError() {
    if (std::exception_ptr error = takePendingError()) std::rethrow_exception(error);
}

}  // namespace anneal
