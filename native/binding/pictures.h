#pragma once

#include <napi.h>

#include <memory>
#include <unordered_set>

#include "picture/thread_pool.h"

namespace anneal::binding {

// Decoding and resampling of pictures, in threads of their own.
class Pictures {
  public:
    Pictures(Napi::Env env, Napi::Object exports);
    ~Pictures();
    Pictures(const Pictures&) = delete;
    Pictures& operator=(const Pictures&) = delete;
    // Waits for the jobs that run; the others are dropped.
    void halt() { pool_.reset(); }

  private:
    struct Job;

    // pictureSize(source, done, lane?, limit?): done(width, height), both 0 if it is declined. `source` is a
    // path or what a file holds.
    void size(const Napi::CallbackInfo& info);
    // decodePicture(source, plan, out, done, lane?, limit?): done(true), or done(false) if it is declined.
    void decode(const Napi::CallbackInfo& info);
    // resamplePicture(pixels, plan, out, done?): at once, or in the background if there is a function to be
    // told.
    void resample(const Napi::CallbackInfo& info);

    // warpPicture(pixels, placement, nearest, width, height, out, done?)
    void warp(const Napi::CallbackInfo& info);

    void start(Napi::Env env, std::unique_ptr<Job> job);
    void finish(Napi::Env env, Job* job);
    void close();

    Napi::Env env_;
    std::unique_ptr<picture::ThreadPool> pool_;
    napi_threadsafe_function done_ = nullptr;
    std::unordered_set<Job*> running_;  // JavaScript thread only
};

}  // namespace anneal::binding
