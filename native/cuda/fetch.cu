// How values and faults come back to the processor.
#include "cuda/device.h"
#include "cuda/launch.h"

namespace anneal::cuda {

namespace {

constexpr size_t kLargestByKernel = 4096;

// A loss is read in every step: one kernel that writes into the processor's memory is quicker than three
// copies.
__global__ void bringHome(unsigned* target, const unsigned* source, int words, unsigned* fault,
                          unsigned* faults) {
    constexpr int kOfRecord = sizeof(FaultRecord) / sizeof(unsigned);
    for (int i = static_cast<int>(threadIdx.x); i < words; i += static_cast<int>(blockDim.x))
        target[i] = source[i];
    for (int i = static_cast<int>(threadIdx.x); i < kOfRecord; i += static_cast<int>(blockDim.x)) {
        fault[i] = faults[i];
        faults[i] = 0;
    }
}

}  // namespace

void CudaDevice::fetch(void* staging, const void* source, size_t bytes, FaultRecord* fault) {
    const bool words =
        bytes % sizeof(unsigned) == 0 && reinterpret_cast<uintptr_t>(source) % sizeof(unsigned) == 0;
    const bool byKernel = words && bytes <= kLargestByKernel;
    if (!byKernel) check(cudaMemcpyAsync(staging, source, bytes, cudaMemcpyDeviceToHost, stream_), "reading");
    launch(bringHome, blocksFor(1, 128), stream_, static_cast<unsigned*>(staging),
           static_cast<const unsigned*>(source), static_cast<int>(byKernel ? bytes / sizeof(unsigned) : 0),
           reinterpret_cast<unsigned*>(fault), reinterpret_cast<unsigned*>(faults_));
}

}  // namespace anneal::cuda
