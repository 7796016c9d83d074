#include "core/stream.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

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

struct Stream::Rest {
    std::mutex mutex;
    std::condition_variable wakeEngine, wakeHost;
    std::exception_ptr error;
    std::map<const char*, OpTime> times;  // written by the engine thread, read while it is idle
    std::thread thread;
};

Stream::Stream() : slots_(new Slot[kCapacity]), rest_(new Rest) {
    rest_->thread = std::thread([this] { drain(); });
}

Stream::~Stream() {
    stopping_.store(true);
    {
        std::lock_guard<std::mutex> lock(rest_->mutex);
        rest_->wakeEngine.notify_one();
    }
    rest_->thread.join();
}

Stream::Slot& Stream::claim(const char* op) {
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - seenHead_ >= kCapacity) seenHead_ = head_.load(std::memory_order_acquire);
    if (tail - seenHead_ >= kCapacity) {
        // The queue is full: JavaScript is thousands of ops ahead. Wait until a slot is free.
        std::unique_lock<std::mutex> lock(rest_->mutex);
        hostSleeps_.store(true);
        rest_->wakeHost.wait(lock, [&] { return tail - head_.load() < kCapacity; });
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
        std::lock_guard<std::mutex> lock(rest_->mutex);
        rest_->wakeEngine.notify_one();
    }
    if (synchronous) wait();
}

void Stream::runOne(Slot& slot) {
    try {
        slot.take(slot.storage, !abandoned_.load(std::memory_order_relaxed));
    } catch (const std::exception& failure) {
        std::lock_guard<std::mutex> lock(rest_->mutex);
        if (!rest_->error) {
            const auto* known = dynamic_cast<const Error*>(&failure);
            const ErrorKind kind = known ? known->kind() : ErrorKind::Kernel;
            const bool named = dynamic_cast<const OpError*>(&failure) != nullptr;
            rest_->error = std::make_exception_ptr(
                Error(kind, named ? failure.what() : std::string(slot.op) + ": " + failure.what()));
            failed_.store(true, std::memory_order_release);
        }
    }
}

void Stream::runTimed(Slot& slot) {
    const auto start = std::chrono::steady_clock::now();
    runOne(slot);
    OpTime& time = rest_->times[slot.op];
    time.count++;
    time.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void Stream::setProfiling(bool enabled) {
    wait();
    rest_->times.clear();
    profiling_.store(enabled);
}

std::vector<Stream::OpTime> Stream::profile() {
    wait();
    std::map<std::string, OpTime> totals;  // a name may have several addresses
    for (const auto& [op, time] : rest_->times) {
        OpTime& total = totals[op];
        total.op = op;
        total.count += time.count;
        total.seconds += time.seconds;
    }
    std::vector<OpTime> result;
    for (auto& [op, total] : totals) result.push_back(std::move(total));
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
            std::unique_lock<std::mutex> lock(rest_->mutex);
            engineSleeps_.store(true);
            rest_->wakeEngine.wait(lock, [&] { return tail_.load() != head || stopping_.load(); });
            engineSleeps_.store(false);
            if (tail_.load() == head && stopping_.load()) return;
            spins = 0;
        }
        Slot& slot = slots_[head % kCapacity];
        profiling_.load(std::memory_order_relaxed) ? runTimed(slot) : runOne(slot);
        head_.store(++head);
        if (hostSleeps_.load()) {
            std::lock_guard<std::mutex> lock(rest_->mutex);
            rest_->wakeHost.notify_all();
        }
    }
}

bool Stream::waitBriefly(int64_t nanoseconds) {
    const uint64_t target = tail_.load(std::memory_order_relaxed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::nanoseconds(nanoseconds);
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
    if (waitBriefly(50'000)) return;
    std::unique_lock<std::mutex> lock(rest_->mutex);
    hostSleeps_.store(true);
    rest_->wakeHost.wait(lock, [&] { return head_.load() >= target; });
    hostSleeps_.store(false);
}

void Stream::abandon() {
    abandoned_.store(true);
    wait();
}

std::exception_ptr Stream::takePendingError() {
    if (!failed_.load(std::memory_order_acquire)) return nullptr;
    std::lock_guard<std::mutex> lock(rest_->mutex);
    std::exception_ptr error = std::exchange(rest_->error, nullptr);
    failed_.store(false, std::memory_order_release);
    return error;
}

void Stream::throwPendingError() {
    if (std::exception_ptr error = takePendingError()) std::rethrow_exception(error);
}

}  // namespace anneal
