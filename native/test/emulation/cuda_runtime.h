#pragma once

// The part of CUDA that native/cuda uses, played by the processor: `.cu` files compile with a plain C++
// compiler against this header, and device('cuda') of such a build runs their kernels here. For tests of what
// kernels compute and of what memory they touch; it knows nothing of timing, of streams that run at once, or
// of caches. What has passed only here has not been tested on a GPU.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static  // blocks run one after the other
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3() = default;
    dim3(unsigned a, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

namespace anneal::emulation {

// Runs body() for every thread of the grid. `together`: threads of a block as fibers that can wait for each
// other.
void runGrid(dim3 blocks, dim3 threads, size_t sharedBytes, bool together, void (*body)(const void*),
             const void* closure);
template <typename Body>
void run(dim3 blocks, dim3 threads, size_t sharedBytes, bool together, const Body& body) {
    runGrid(
        blocks, threads, sharedBytes, together, [](const void* it) { (*static_cast<const Body*>(it))(); },
        &body);
}
void* sharedMemory();
void syncBlock();
// Hands out what lane `source` of the warp has brought; all lanes of `mask` take part.
void exchange(unsigned mask, const void* mine, void* theirs, size_t bytes, unsigned source);
unsigned laneId();

// Within its life the processor may touch the memory of the emulated devices.
class Access {
  public:
    Access();
    ~Access();
};

}  // namespace anneal::emulation

// --- what kernels call

inline void __syncthreads() { anneal::emulation::syncBlock(); }
inline void __syncwarp(unsigned mask = 0xffffffffu) {
    int nothing = 0, other;
    anneal::emulation::exchange(mask, &nothing, &other, sizeof nothing, anneal::emulation::laneId());
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane) {
    T result;
    anneal::emulation::exchange(mask, &value, &result, sizeof value, static_cast<unsigned>(lane));
    return result;
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits) {
    return __shfl_sync(mask, value,
                       static_cast<int>(anneal::emulation::laneId() ^ static_cast<unsigned>(bits)));
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
    const unsigned lane = anneal::emulation::laneId(), from = lane + delta;
    return __shfl_sync(mask, value, static_cast<int>(from < 32 ? from : lane));
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
    const unsigned lane = anneal::emulation::laneId();
    return __shfl_sync(mask, value, static_cast<int>(lane >= delta ? lane - delta : lane));
}

template <typename T>
T atomicAdd(T* address, T value) {
    const T before = *address;
    *address = before + value;
    return before;
}
template <typename T>
T atomicMax(T* address, T value) {
    const T before = *address;
    if (value > before) *address = value;
    return before;
}
template <typename T>
T atomicExch(T* address, T value) {
    const T before = *address;
    *address = value;
    return before;
}
template <typename T>
T atomicCAS(T* address, T compare, T value) {
    const T before = *address;
    if (before == compare) *address = value;
    return before;
}

inline unsigned __umulhi(unsigned a, unsigned b) {
    return static_cast<unsigned>((static_cast<uint64_t>(a) * b) >> 32);
}
inline float rsqrtf(float x) { return 1 / std::sqrt(x); }
inline double rsqrt(double x) { return 1 / std::sqrt(x); }
inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}
inline int __float_as_int(float value) {
    int bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}
inline void __threadfence() {}

// --- what the host calls

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaDeviceAttr { cudaDevAttrMultiProcessorCount = 16, cudaDevAttrComputeCapabilityMajor = 75 };
enum { cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventDisableTiming = 2 };
enum cudaStreamCaptureMode { cudaStreamCaptureModeThreadLocal = 1 };
using cudaStream_t = struct EmulatedStream*;
using cudaEvent_t = struct EmulatedEvent*;
using cudaGraph_t = struct EmulatedGraph*;
using cudaGraphExec_t = struct EmulatedGraph*;
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor, multiProcessorCount;
};

cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaMemGetInfo(size_t* available, size_t* total);
cudaError_t cudaMalloc(void** block, size_t bytes);
cudaError_t cudaFree(void* block);
cudaError_t cudaMallocHost(void** block, size_t bytes);
cudaError_t cudaFreeHost(void* block);
cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end);
cudaError_t cudaGetLastError();
const char* cudaGetErrorString(cudaError_t status);
