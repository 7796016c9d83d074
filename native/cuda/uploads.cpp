// Copies from the processor to one CUDA device, through page-locked memory.
#include <algorithm>
#include <cstring>

#include "cuda/device.h"

namespace anneal::cuda {

namespace {

constexpr size_t kUploadPiece = size_t{4} << 20;
constexpr size_t kSmallUpload = size_t{256} << 10;
constexpr size_t kMostLanding = size_t{64} << 20;
constexpr size_t kSmallPiece = size_t{1} << 20;  // in which several small uploads lie

}  // namespace

// Through page-locked pieces: the processor fills one while the one before is on its way.
void CudaDevice::uploadPieces(char* target, const char* source, size_t bytes, cudaStream_t stream) {
    for (size_t at = 0; at < bytes; at += kUploadPiece) {
        const size_t size = std::min(kUploadPiece, bytes - at);
        UploadSlot& slot = uploads_[nextUpload_++ % uploads_.size()];
        if (!slot.memory) {
            check(cudaEventCreateWithFlags(&slot.left, cudaEventDisableTiming), "creating an event");
            check(cudaMallocHost(&slot.memory, kUploadPiece), "allocating page-locked memory");
        } else {
            check(cudaEventSynchronize(slot.left), "waiting for a copy");
        }
        std::memcpy(slot.memory, source + at, size);
        check(cudaMemcpyAsync(target + at, slot.memory, size, cudaMemcpyHostToDevice, stream), "copying");
        check(cudaEventRecord(slot.left, stream), "recording an event");
    }
}

// In the queue's order. Many lie in one slot, so that the processor may be many ahead before it has to wait
// for one of them to leave.
void CudaDevice::uploadSmall(char* target, const char* source, size_t bytes) {
    constexpr size_t kApart = 256;
    for (size_t at = 0; at < bytes; at += kSmallPiece) {
        const size_t size = std::min(kSmallPiece, bytes - at);
        if (smallUsed_ + size > kSmallPiece) {
            check(cudaEventRecord(smalls_[small_].left, stream_), "recording an event");
            small_ = (small_ + 1) % smalls_.size();
            smallUsed_ = 0;
            if (smalls_[small_].memory)
                check(cudaEventSynchronize(smalls_[small_].left), "waiting for a copy");
        }
        UploadSlot& slot = smalls_[small_];
        if (!slot.memory) {
            check(cudaEventCreateWithFlags(&slot.left, cudaEventDisableTiming), "creating an event");
            check(cudaMallocHost(&slot.memory, kSmallPiece), "allocating page-locked memory");
        }
        char* const place = static_cast<char*>(slot.memory) + smallUsed_;
        smallUsed_ += (size + kApart - 1) / kApart * kApart;
        std::memcpy(place, source + at, size);
        check(cudaMemcpyAsync(target + at, place, size, cudaMemcpyHostToDevice, stream_), "copying");
    }
}

// False where there is no memory for it.
bool CudaDevice::growLanding(Landing& landing, size_t bytes) {
    if (!landing.filled) {
        check(cudaEventCreateWithFlags(&landing.filled, cudaEventDisableTiming), "creating an event");
        check(cudaEventCreateWithFlags(&landing.emptied, cudaEventDisableTiming), "creating an event");
    }
    if (landing.memory) check(cudaEventSynchronize(landing.emptied), "waiting for a copy");
    clear(landing);
    return fill(landing, bytes);
}

// Lands in memory of its own on a stream of its own, beside the kernels that still work, and is moved to its
// target in the queue's order, at the speed of the device's memory. What is larger than a landing may be goes
// to both in turn.
void CudaDevice::uploadLarge(char* target, const char* source, size_t bytes) {
    for (size_t at = 0; at < bytes; at += kMostLanding) {
        const size_t size = std::min(kMostLanding, bytes - at);
        Landing& landing = landings_[nextLanding_++ % landings_.size()];
        if (landing.bytes >= size) {
            check(cudaStreamWaitEvent(copyStream_, landing.emptied, 0), "waiting for a copy");
        } else if (!growLanding(landing, size)) {
            uploadPieces(target + at, source + at, size, stream_);
            continue;
        }
        uploadPieces(static_cast<char*>(landing.memory), source + at, size, copyStream_);
        check(cudaEventRecord(landing.filled, copyStream_), "recording an event");
        check(cudaStreamWaitEvent(stream_, landing.filled, 0), "waiting for a copy");
        check(cudaMemcpyAsync(target + at, landing.memory, size, cudaMemcpyDeviceToDevice, stream_),
              "copying");
        check(cudaEventRecord(landing.emptied, stream_), "recording an event");
    }
}

void CudaDevice::upload(void* target, const void* source, size_t bytes) {
    CHECK(!capturing_, ErrorKind::Kernel, "a copy from the processor cannot be captured");
    begin("to");
    const auto copy = bytes <= kSmallUpload ? &CudaDevice::uploadSmall : &CudaDevice::uploadLarge;
    (this->*copy)(static_cast<char*>(target), static_cast<const char*>(source), bytes);
    end();
}

}  // namespace anneal::cuda
