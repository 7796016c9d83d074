#include "picture/thread_pool.h"

#include <chrono>
#include <iterator>
#include <system_error>
#include <utility>

namespace anneal::picture {

namespace {
constexpr size_t kMostThreads = 256;
constexpr std::chrono::milliseconds kPatience(500);
}  // namespace

void ThreadPool::run(std::function<void()> job) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    jobs_.push_back(std::move(job));
    joinEnded();
    if (jobs_.size() > idle_ && threads_.size() < kMostThreads) startThread();
    news_.notify_one();
}

void ThreadPool::startThread() {
    threads_.emplace_back();
    const auto self = std::prev(threads_.end());
    try {
        *self = std::thread([this, self] { work(self); });
    } catch (const std::system_error&) {
        threads_.erase(self);
        // The others will come to this job too.
        if (!threads_.empty()) return;
        jobs_.pop_back();
        throw;
    }
}

void ThreadPool::work(std::list<std::thread>::iterator self) {
    std::unique_lock lock(mutex_);
    for (;;) {
        idle_++;
        const bool woken = news_.wait_for(lock, kPatience, [&] { return closed_ || !jobs_.empty(); });
        idle_--;
        if (closed_ || !woken) break;
        const std::function<void()> job = std::move(jobs_.front());
        jobs_.pop_front();
        lock.unlock();
        job();
        lock.lock();
    }
    ended_.splice(ended_.end(), threads_, self);
    gone_.notify_all();
}

// These have nothing left to do but to return.
void ThreadPool::joinEnded() {
    for (std::thread& thread : ended_) thread.join();
    ended_.clear();
}

ThreadPool::~ThreadPool() {
    std::unique_lock lock(mutex_);
    closed_ = true;
    jobs_.clear();
    news_.notify_all();
    gone_.wait(lock, [&] { return threads_.empty(); });
    joinEnded();
}

}  // namespace anneal::picture
