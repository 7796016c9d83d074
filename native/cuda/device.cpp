// The queue and the memory of one CUDA device, its recorded steps, and what fails on it.
#include "cuda/device.h"

#include <algorithm>
#include <cstring>

namespace anneal::cuda {

namespace {

// As much is read at once: what is page-locked is taken from the rest of the machine.
constexpr size_t kReadPiece = size_t{16} << 20;

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

struct CudaDevice::Graph {
    CudaDevice& device;
    cudaGraphExec_t executable = nullptr;
    std::vector<std::pair<void*, size_t>> memory;
    std::vector<std::pair<void*, std::function<void(void*)>>> fresh;
    cudaEvent_t launched = nullptr;

    explicit Graph(CudaDevice& owner) : device(owner) { device.graphs_++; }
    Graph(const Graph&) = delete;
    // Whoever lets go of it has waited for the queue, on a thread that may have chosen another device.
    ~Graph() {
        selectDevice(device.ordinal_);
        cudaStreamSynchronize(device.stream_);
#ifndef ANNEAL_CUDA_EMULATED
        if (executable) cudaGraphExecDestroy(executable);
#endif
        if (launched) cudaEventDestroy(launched);
        for (const auto& [block, bytes] : memory) device.pinned_.giveBack(block, bytes);
        if (--device.graphs_ > 0) return;
        for (Room& room : device.outgrown_) cudaFree(room.memory), device.roomBytes_ -= room.bytes;
        device.outgrown_.clear();
    }
    void* take(size_t bytes) {
        memory.emplace_back(device.pinned_.take(bytes), bytes);
        return memory.back().first;
    }
};

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

void CudaDevice::setValue(void* target, const void* source, size_t bytes) {
    if (!capturing_) return uploadSmall(static_cast<char*>(target), static_cast<const char*>(source), bytes);
    void* const place = capturing_->take(bytes);
    std::memcpy(place, source, bytes);
    check(cudaMemcpyAsync(target, place, bytes, cudaMemcpyHostToDevice, stream_), "copying");
}

void CudaDevice::setFresh(void* target, size_t bytes, const std::function<void(void*)>& fill) {
    if (capturing_) {
        void* const place = capturing_->take(bytes);
        capturing_->fresh.emplace_back(place, fill);
        check(cudaMemcpyAsync(target, place, bytes, cudaMemcpyHostToDevice, stream_), "copying");
        return;
    }
    std::vector<char> made(bytes);
    fill(made.data());
    setValue(target, made.data(), bytes);
}

std::shared_ptr<void> CudaDevice::capture(const std::function<void()>& body) {
#ifdef ANNEAL_CUDA_EMULATED
    (void)body;
    return nullptr;  // repetitions run the steps one by one
#else
    select();
    auto graph = std::make_shared<Graph>(*this);
    check(cudaEventCreateWithFlags(&graph->launched, cudaEventDisableTiming), "creating an event");
    // Relaxed: what is captured takes page-locked memory of its own, which the other modes forbid meanwhile.
    if (cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed) != cudaSuccess) {
        cudaGetLastError();
        return nullptr;
    }
    capturing_ = graph.get();
    bool whole = true;
    try {
        body();
    } catch (const std::exception&) {
        whole = false;  // something in it cannot be captured: the steps are run one by one
    }
    capturing_ = nullptr;
    cudaGraph_t captured = nullptr;
    const cudaError_t status = cudaStreamEndCapture(stream_, &captured);
    whole = whole && status == cudaSuccess && captured != nullptr;
    if (whole) whole = cudaGraphInstantiate(&graph->executable, captured, 0) == cudaSuccess;
    if (captured) cudaGraphDestroy(captured);
    cudaGetLastError();
    return whole ? graph : nullptr;
#endif
}

void CudaDevice::launchCaptured(const std::shared_ptr<void>& captured) {
#ifdef ANNEAL_CUDA_EMULATED
    (void)captured;
#else
    auto& graph = *static_cast<Graph*>(captured.get());
    begin("compiled step");
    if (!graph.fresh.empty()) {
        check(cudaEventSynchronize(graph.launched), "waiting for the step before");
        for (const auto& [place, fill] : graph.fresh) fill(place);
    }
    check(cudaGraphLaunch(graph.executable, stream_), "launching a captured step");
    check(cudaEventRecord(graph.launched, stream_), "recording an event");
    end();
#endif
}

void CudaDevice::copyWithin(void* target, const void* source, size_t bytes) {
    check(cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream_), "copying");
}

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
