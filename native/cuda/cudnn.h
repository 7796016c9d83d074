#pragma once

#include <cuda_runtime.h>

#include <cstddef>

// As much of cuDNN's interface (that of its versions 8 and 9, "legacy" in the latter's words) as is used
// here, declared by hand: its headers need not be installed where anneal is built.
namespace anneal::cuda::dnn {

using Handle = struct DnnContext*;
using Tensor = struct DnnTensor*;
using Filter = struct DnnFilter*;
using Convolution = struct DnnConvolution*;

enum Status : int { kSuccess = 0 };
enum DataType : int { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 9 };
enum Format : int { kChannelsFirst = 0, kChannelsLast = 1 };
enum Mode : int { kCrossCorrelation = 1 };
enum MathType : int {
    kDefaultMath = 0,
    kTensorMath = 1,
    kPlainMath = 3
};  // the default allows TF32, the last does not

// The three kinds of algorithms have this in common: a number, and what was measured of it.
struct Performance {
    int algorithm;
    Status status;
    float milliseconds;
    size_t workspaceBytes;
    int deterministic;
    MathType math;
    int reserved[3];
};

struct Functions {
    size_t (*version)();
    const char* (*errorString)(Status);
    Status (*create)(Handle*);
    Status (*destroy)(Handle);
    Status (*setStream)(Handle, cudaStream_t);
    Status (*createTensor)(Tensor*);
    Status (*destroyTensor)(Tensor);
    Status (*setTensor)(Tensor, Format, DataType, int n, int c, int h, int w);
    Status (*createFilter)(Filter*);
    Status (*destroyFilter)(Filter);
    Status (*setFilter)(Filter, DataType, Format, int k, int c, int h, int w);
    Status (*createConvolution)(Convolution*);
    Status (*destroyConvolution)(Convolution);
    Status (*setConvolution)(Convolution, int padY, int padX, int strideY, int strideX, int dilationY,
                             int dilationX, Mode, DataType compute);
    Status (*setGroups)(Convolution, int);
    Status (*setMath)(Convolution, MathType);
    // Measure all algorithms, the fastest first.
    Status (*findForward)(Handle, Tensor, const void* x, Filter, const void* w, Convolution, Tensor, void* y,
                          int asked, int* found, Performance*, void* workspace, size_t bytes);
    Status (*findInput)(Handle, Filter, const void* w, Tensor, const void* dy, Convolution, Tensor, void* dx,
                        int asked, int* found, Performance*, void* workspace, size_t bytes);
    Status (*findWeight)(Handle, Tensor, const void* x, Tensor, const void* dy, Convolution, Filter, void* dw,
                         int asked, int* found, Performance*, void* workspace, size_t bytes);
    Status (*forward)(Handle, const void* alpha, Tensor, const void* x, Filter, const void* w, Convolution,
                      int algorithm, void* workspace, size_t bytes, const void* beta, Tensor, void* y);
    Status (*backwardInput)(Handle, const void* alpha, Filter, const void* w, Tensor, const void* dy,
                            Convolution, int algorithm, void* workspace, size_t bytes, const void* beta,
                            Tensor, void* dx);
    Status (*backwardWeight)(Handle, const void* alpha, Tensor, const void* x, Tensor, const void* dy,
                             Convolution, int algorithm, void* workspace, size_t bytes, const void* beta,
                             Filter, void* dw);
};

// Opens the library when first called; throws a DeviceError where it is missing or too old.
const Functions& functions();

void check(Status status, const char* what);

// Whether it means that the library does not do this, and not that something went wrong.
bool declines(Status status);

}  // namespace anneal::cuda::dnn
