// Reading from a device: by waiting, or on a thread that waits for what was asked for.
#include "cuda/device.h"

#include <algorithm>
#include <cstring>

namespace anneal::cuda {

namespace {

// As much is read at once: what is page-locked is taken from the rest of the machine.
constexpr size_t kReadPiece = size_t{16} << 20;

}  // namespace

cudaEvent_t CudaDevice::takeEvent() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!events_.empty()) {
            cudaEvent_t event = events_.back();
            events_.pop_back();
            return event;
        }
    }
    cudaEvent_t event;
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
    return event;
}

void CudaDevice::download(void* target, const void* source, size_t bytes,
                          std::function<void(std::exception_ptr)> done) {
    try {
        CHECK(!capturing_, ErrorKind::Kernel, "reading cannot be captured");
        select();
        Arrival arrival{takeEvent(), target, nullptr, bytes, nullptr, nullptr};
        try {
            arrival.staging = pinned_.take(bytes);
            arrival.fault = static_cast<FaultRecord*>(pinned_.take(sizeof(FaultRecord)));
            fetch(arrival.staging, source, bytes, arrival.fault);
            check(cudaEventRecord(arrival.event, stream_), "recording an event");
        } catch (...) {
            cudaStreamSynchronize(stream_);  // nothing may still be written to what is given back
            if (arrival.fault) pinned_.giveBack(arrival.fault, sizeof(FaultRecord));
            if (arrival.staging) pinned_.giveBack(arrival.staging, bytes);
            cudaEventDestroy(arrival.event);
            throw;
        }
        arrival.done = std::move(done);
        const std::lock_guard<std::mutex> lock(mutex_);
        arrivals_.push_back(std::move(arrival));
        wake_.notify_one();
    } catch (...) {
        done(std::current_exception());
    }
}

std::exception_ptr CudaDevice::failureOf(cudaError_t status, FaultRecord* fault) const {
    try {
        if (status != cudaSuccess) throw OpError(ErrorKind::Kernel, blame(status));
        throwFault(*fault);
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

void CudaDevice::await() {
    selectDevice(ordinal_);
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return closing_ || !arrivals_.empty(); });
        if (arrivals_.empty()) return;
        Arrival arrival = std::move(arrivals_.front());
        arrivals_.pop_front();
        lock.unlock();
        const cudaError_t status = cudaEventSynchronize(arrival.event);
        const std::exception_ptr failure = failureOf(status, arrival.fault);
        if (status == cudaSuccess && arrival.bytes > 0)
            std::memcpy(arrival.target, arrival.staging, arrival.bytes);
        pinned_.giveBack(arrival.fault, sizeof(FaultRecord));
        arrival.done(failure);
        arrival.done = nullptr;
        pinned_.giveBack(arrival.staging, arrival.bytes);
        lock.lock();
        events_.push_back(arrival.event);
    }
}

std::exception_ptr CudaDevice::finish(void* staging, const void* source, size_t bytes) {
    FaultRecord* const fault = static_cast<FaultRecord*>(pinned_.take(sizeof(FaultRecord)));
    std::exception_ptr failure;
    try {
        fetch(staging, source, bytes, fault);
        failure = failureOf(cudaStreamSynchronize(stream_), fault);
    } catch (...) {
        failure = std::current_exception();
        cudaStreamSynchronize(stream_);  // nothing may still be written to what is given back
    }
    pinned_.giveBack(fault, sizeof(FaultRecord));
    return failure;
}

void CudaDevice::wait() {
    CHECK(!capturing_, ErrorKind::Kernel, "waiting cannot be captured");
    select();
    if (const std::exception_ptr failure = finish(nullptr, nullptr, 0)) std::rethrow_exception(failure);
}

// Whoever asks waits anyhow: no other thread has to be woken in between.
void CudaDevice::read(void* target, const void* source, size_t bytes) {
    CHECK(!capturing_, ErrorKind::Kernel, "reading cannot be captured");
    select();
    const size_t piece = std::min(bytes, kReadPiece);
    void* const staging = pinned_.take(piece);
    std::exception_ptr failure;
    size_t at = 0;
    do {
        const size_t size = std::min(piece, bytes - at);
        failure = finish(staging, static_cast<const char*>(source) + at, size);
        if (!failure && size > 0) std::memcpy(static_cast<char*>(target) + at, staging, size);
        at += size;
    } while (!failure && at < bytes);
    pinned_.giveBack(staging, piece);
    if (failure) std::rethrow_exception(failure);
}

}  // namespace anneal::cuda
