#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <thread>

namespace anneal::picture {

// Runs jobs in the background, each as soon as a thread can be had: there are as many threads as jobs, up to
// kMostThreads, and those that find nothing to do for a while end. How much is done at a time is the caller's
// affair.
class ThreadPool {
  public:
    ThreadPool() = default;
    // Waits for the jobs that run; those that wait are dropped.
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Lane 0 has no limit. A job may not throw. Throws std::system_error if not a single thread can be had.
    void run(std::function<void()> job, int lane = 0, size_t limit = 0);

  private:
    struct Job {
        std::function<void()> work;
        int lane;
    };
    struct Lane {
        size_t running = 0;
        std::deque<std::function<void()>> waiting;
    };

    void startThread();
    bool takeNext(Job& job);
    void work(std::list<std::thread>::iterator self);
    void joinEnded();

    std::mutex mutex_;
    std::condition_variable news_, gone_;
    std::deque<Job> jobs_;
    std::map<int, Lane> lanes_;
    std::list<std::thread> threads_, ended_;
    size_t idle_ = 0;
    bool closed_ = false;
};

}  // namespace anneal::picture
