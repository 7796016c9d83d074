// Memory that a device keeps for its kernels, libraries and copies, and gives back where it is short.
#include "cuda/device.h"

#include <algorithm>

namespace anneal::cuda {

bool CudaDevice::fill(Room& room, size_t bytes) {
    void* memory = nullptr;
    const cudaError_t status = cudaMalloc(&memory, bytes);
    if (status == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return false;
    }
    check(status, "allocating memory to work in");
    room.memory = memory;
    room.bytes = bytes;
    roomBytes_ += bytes;
    return true;
}

void CudaDevice::clear(Room& room) {
    if (!room.memory) return;
    check(cudaFree(room.memory), "freeing");
    roomBytes_ -= room.bytes;
    room.memory = nullptr;
    room.bytes = 0;
}

// False where there is no memory for it; what there was may be gone then as well.
bool CudaDevice::growWorkspace(Room& room, size_t bytes) {
    constexpr size_t kGranule = size_t{2} << 20;  // the device gives no less
    size_t generous = (bytes + kGranule - 1) / kGranule * kGranule;
    // What a graph works in has to stay: it grows by half then, so that this happens a few times only.
    if (graphs_ > 0) generous = std::max(generous, room.bytes + room.bytes / 2);
    const auto drop = [&] {
        if (graphs_ > 0) {
            outgrown_.push_back(room);
        } else {
            check(cudaStreamSynchronize(stream_), "waiting");
            clear(room);
        }
        room = Room{};
    };
    Room larger;
    bool filled = fill(larger, generous) || (generous > bytes && fill(larger, bytes));
    if (!filled && room.memory && graphs_ == 0) {
        drop();
        filled = fill(larger, bytes);
    }
    if (!filled && !(reclaim() && fill(larger, bytes))) return false;
    if (room.memory) drop();
    room = larger;
    return true;
}

bool CudaDevice::hasWorkspace(size_t bytes, Workspace purpose) {
    Room& room = workspaces_[static_cast<size_t>(purpose)];
    return bytes <= room.bytes || growWorkspace(room, bytes);
}

void* CudaDevice::workspace(size_t bytes, Workspace purpose) {
    if (!hasWorkspace(bytes, purpose)) check(cudaErrorMemoryAllocation, "allocating memory to work in");
    return workspaces_[static_cast<size_t>(purpose)].memory;
}

bool CudaDevice::reclaim() {
    if (capturing_) return false;  // nothing can be waited for then
    return allocator_.reclaim([this] { check(cudaStreamSynchronize(stream_), "waiting"); });
}

MemoryStats CudaDevice::stats() const {
    MemoryStats stats = allocator_.stats();
    stats.cached += roomBytes_;
    return stats;
}

void CudaDevice::emptyCache() {
    context_.stream().enqueueOnce("emptyCache", [this] { wait(); });
    context_.stream().wait();
    select();
    // The engine thread is idle: what is its own may be touched from here.
    for (Landing& landing : landings_) clear(landing);
    for (Room& room : workspaces_) {
        if (graphs_ == 0) clear(room);
    }
    pinned_.emptyCache();
    allocator_.emptyCache();
}

}  // namespace anneal::cuda
