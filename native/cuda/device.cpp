// One CUDA device from its opening to its end, and what fails on it. Copies to and from it, the memory it
// works in and its recorded steps have files of their own: uploads.cpp, downloads.cpp, workspaces.cpp,
// captures.cpp.
#include "cuda/device.h"

#include <algorithm>
#include <cstring>

namespace anneal::cuda {

namespace {

// Whether a kernel has failed on the device: every call from then on answers so, whatever it is about.
bool isLasting(cudaError_t status) {
#ifdef ANNEAL_CUDA_EMULATED
    (void)status;
    return false;
#else
    switch (status) {
        case cudaErrorECCUncorrectable:
        case cudaErrorIllegalAddress:
        case cudaErrorLaunchTimeout:
        case cudaErrorAssert:
        case cudaErrorHardwareStackError:
        case cudaErrorIllegalInstruction:
        case cudaErrorMisalignedAddress:
        case cudaErrorInvalidAddressSpace:
        case cudaErrorInvalidPc:
        case cudaErrorLaunchFailure:
            return true;
        default:
            return false;
    }
#endif
}

}  // namespace

const CudaDevice*& CudaDevice::speaking() {
    static thread_local const CudaDevice* last = nullptr;
    return last;
}

void check(cudaError_t status, const char* what) {
    if (status == cudaSuccess) return;
    // CUDA keeps the last error until it is asked for: the next launch would take it for its own.
    cudaGetLastError();
    if (status == cudaErrorMemoryAllocation) {
        size_t available = 0, total = 0;
        cudaMemGetInfo(&available, &total);
        fail(ErrorKind::OutOfMemory, what, ": ", cudaGetErrorString(status), ", ", available >> 20,
             " MiB free of ", total >> 20, " MiB");
    }
    if (const CudaDevice* const device = CudaDevice::speaking(); device && isLasting(status))
        throw OpError(ErrorKind::Kernel, device->blame(status));
    fail(ErrorKind::Kernel, what, ": ", cudaGetErrorString(status));
}

CudaDevice::CudaDevice(Context& context, int ordinal)
    : CudaRuntime(ordinal), context_(context), allocator_(context, ordinal) {
    check(selectDevice(ordinal), "choosing the device");
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
    check(cudaStreamCreateWithFlags(&copyStream_, cudaStreamNonBlocking), "creating a stream");
    check(cudaMalloc(reinterpret_cast<void**>(&faults_), sizeof(FaultRecord)), "allocating");
    check(cudaMemsetAsync(faults_, 0, sizeof(FaultRecord), stream_), "clearing");
    waiter_ = std::thread([this] { await(); });
}

CudaDevice::~CudaDevice() {
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        closing_ = true;
        wake_.notify_one();
    }
    waiter_.join();
    // What fails now has nobody left to be told.
    if (speaking() == this) speaking() = nullptr;
    selectDevice(ordinal_);
    cudaStreamSynchronize(stream_);
    attached_.clear();
    for (auto* slots : {&uploads_, &smalls_}) {
        for (UploadSlot& slot : *slots) {
            if (slot.left) cudaEventDestroy(slot.left);
            if (slot.memory) cudaFreeHost(slot.memory);
        }
    }
    for (Landing& landing : landings_) {
        if (landing.filled) cudaEventDestroy(landing.filled);
        if (landing.emptied) cudaEventDestroy(landing.emptied);
        if (landing.memory) cudaFree(landing.memory);
    }
    for (cudaEvent_t event : events_) cudaEventDestroy(event);
    for (Room& room : workspaces_) cudaFree(room.memory);
    for (Room& room : outgrown_) cudaFree(room.memory);
    cudaFree(faults_);
    cudaStreamDestroy(copyStream_);
    cudaStreamDestroy(stream_);
}

cudaError_t selectDevice(int ordinal) {
    static thread_local int current = -1;
    if (current == ordinal) return cudaSuccess;
    const cudaError_t status = cudaSetDevice(ordinal);
    current = status == cudaSuccess ? ordinal : -1;
    return status;
}

void CudaDevice::select() const {
    speaking() = this;
    check(selectDevice(ordinal_), "choosing the device");
}

CudaRuntime& runtimeOf(Context& context) {
    return static_cast<CudaDevice&>(*context.openRuntime(context.device()));
}

void CudaDevice::begin(const char* op) {
    select();
    recent_[launched_.fetch_add(1, std::memory_order_relaxed) % recent_.size()].store(
        op, std::memory_order_relaxed);
}

void CudaDevice::end() {
    if ((context_.stream().synchronous || context_.stream().profiling()) && !capturing_) wait();
}

void CudaDevice::copyWithin(void* target, const void* source, size_t bytes) {
    check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

std::string CudaDevice::blame(cudaError_t status) const {
    // CUDA does not tell which kernel it was; a device that has failed this way answers nothing more.
    constexpr size_t kMostNames = 40;
    std::vector<const char*> names;
    const size_t launched = launched_.load(std::memory_order_relaxed);
    for (size_t i = 0; i < std::min(launched, recent_.size()) && names.size() < kMostNames; i++) {
        const char* const name = recent_[(launched - 1 - i) % recent_.size()].load(std::memory_order_relaxed);
        if (!name) continue;  // not written down yet
        const auto same = [&](const char* other) { return std::strcmp(name, other) == 0; };
        if (std::none_of(names.begin(), names.end(), same)) names.push_back(name);
    }
    std::string ops;
    for (const char* name : names) ops += (ops.empty() ? "" : ", ") + std::string(name);
    return "a kernel failed on " + Device::cuda(ordinal_).name() + ": " + cudaGetErrorString(status) +
           ". It is one of the last that were enqueued (latest first): " + ops +
           ". ANNEAL_SYNC=1 finds the one. The process must be started again";
}

}  // namespace anneal::cuda
