#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

// As much of cuBLASLt's interface as is used here, declared by hand: its headers need not be installed where
// anneal is built. Names and numbers are those of NVIDIA's documentation ("cuBLASLt API Reference").
namespace anneal::cuda::lt {

using Handle = struct LtHandle*;
using MatmulDesc = struct LtMatmulDesc*;
using Layout = struct LtLayout*;
using Preference = struct LtPreference*;

enum Status : int { kSuccess = 0 };
enum DataType : int { kFloat32 = 0, kFloat64 = 1, kFloat16 = 2, kBFloat16 = 14 };
enum ComputeType : int { kCompute32 = 68, kCompute64 = 70, kCompute32Fast = 77 };  // the last: TF32
enum DescAttribute : int { kTransposeA = 3, kTransposeB = 4, kEpilogue = 7, kBiasPointer = 8 };
enum Operation : int32_t { kPlain = 0, kTransposed = 1 };
enum Epilogue : uint32_t { kDefault = 1, kBias = 4 };
enum LayoutAttribute : int { kBatchCount = 5, kBatchStride = 6 };
enum PreferenceAttribute : int {
    kWorkspaceBytes = 1,
    kAlignmentA = 5,
    kAlignmentB = 6,
    kAlignmentC = 7,
    kAlignmentD = 8
};

struct Algorithm {
    uint64_t data[8];
};
struct Heuristic {
    Algorithm algorithm;
    size_t workspaceBytes;
    Status state;
    float waves;
    int reserved[4];
};

struct Functions {
    Status (*create)(Handle*);
    Status (*destroy)(Handle);
    Status (*createDesc)(MatmulDesc*, ComputeType, DataType scale);
    Status (*destroyDesc)(MatmulDesc);
    Status (*setDesc)(MatmulDesc, DescAttribute, const void*, size_t);
    Status (*createLayout)(Layout*, DataType, uint64_t rows, uint64_t columns, int64_t leading);
    Status (*destroyLayout)(Layout);
    Status (*setLayout)(Layout, LayoutAttribute, const void*, size_t);
    Status (*createPreference)(Preference*);
    Status (*destroyPreference)(Preference);
    Status (*setPreference)(Preference, PreferenceAttribute, const void*, size_t);
    Status (*heuristic)(Handle, MatmulDesc, Layout a, Layout b, Layout c, Layout d, Preference, int asked,
                        Heuristic*, int* found);
    // d = alpha op(a) op(b) + beta c, matrices by columns
    Status (*matmul)(Handle, MatmulDesc, const void* alpha, const void* a, Layout, const void* b, Layout,
                     const void* beta, const void* c, Layout, void* d, Layout, const Algorithm*,
                     void* workspace, size_t workspaceBytes, cudaStream_t);
};

// Opens the library when first called; throws a DeviceError where it is missing.
const Functions& functions();

void check(Status status, const char* what);
// Whether it says that it does not do what was described, rather than that it has failed.
bool declines(Status status);

}  // namespace anneal::cuda::lt
