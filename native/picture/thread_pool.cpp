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

void ThreadPool::run(std::function<void()> job, int lane, size_t limit) {
    const std::lock_guard lock(mutex_);
    if (closed_) return;
    if (lane != 0) {
        Lane& own = lanes_[lane];
        if (own.running >= limit) {
            own.waiting.push_back(std::move(job));
            return;
        }
        own.running++;
    }
    jobs_.push_back({std::move(job), lane});
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
        const int lane = jobs_.back().lane;
        jobs_.pop_back();
        if (const auto found = lanes_.find(lane); found != lanes_.end() && --found->second.running == 0)
            lanes_.erase(found);
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
        Job job = std::move(jobs_.front());
        jobs_.pop_front();
        do {
            lock.unlock();
            job.work();
            job.work = nullptr;
            lock.lock();
        } while (!closed_ && takeNext(job));
        if (closed_) break;
    }
    ended_.splice(ended_.end(), threads_, self);
    gone_.notify_all();
}

// The next job of the same lane goes on in the same thread. Without one the lane has a place free.
bool ThreadPool::takeNext(Job& job) {
    const auto found = lanes_.find(job.lane);
    if (found == lanes_.end()) return false;
    Lane& lane = found->second;
    if (!lane.waiting.empty()) {
        job.work = std::move(lane.waiting.front());
        lane.waiting.pop_front();
        return true;
    }
    if (--lane.running == 0) lanes_.erase(found);
    return false;
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
    lanes_.clear();
    news_.notify_all();
    gone_.wait(lock, [&] { return threads_.empty(); });
    joinEnded();
}

}  // namespace anneal::picture
