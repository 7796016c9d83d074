// Steps recorded as CUDA graphs, and the values of the processor that they take at each launch.
#include "cuda/device.h"

#include <cstring>

namespace anneal::cuda {

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
        for (Room& room : device.outgrown_) {
            cudaFree(room.memory);
            device.roomBytes_ -= room.bytes;
        }
        device.outgrown_.clear();
    }
    void* take(size_t bytes) {
        memory.emplace_back(device.pinned_.take(bytes), bytes);
        return memory.back().first;
    }
};

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

}  // namespace anneal::cuda
