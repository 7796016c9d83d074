// The part of cuBLASLt that native/cuda calls, by plain loops over matrices that lie by columns.
#include <cstring>
#include <map>
#include <string>
#include <type_traits>

#include "core/half.h"
#include "cuda/cublaslt.h"
#include "libraries.h"

using namespace anneal;
using namespace anneal::cuda;

namespace anneal::cuda::lt {

struct LtHandle {};
struct LtPreference {
    size_t workspaceBytes = 0;
};
struct LtMatmulDesc {
    ComputeType compute;
    int32_t opA = kPlain, opB = kPlain;
    uint32_t epilogue = kDefault;
    const void* bias = nullptr;
};
struct LtLayout {
    DataType type;
    uint64_t rows, columns;
    int64_t leading, batchStride = 0;
    int32_t batches = 1;
};

}  // namespace anneal::cuda::lt

namespace {

using namespace anneal::cuda::lt;

Status create(Handle* handle) {
    *handle = new LtHandle;
    return kSuccess;
}
Status destroy(Handle handle) {
    delete handle;
    return kSuccess;
}
Status createDesc(MatmulDesc* desc, ComputeType compute, DataType) {
    *desc = new LtMatmulDesc{compute};
    return kSuccess;
}
Status destroyDesc(MatmulDesc desc) {
    delete desc;
    return kSuccess;
}
Status setDesc(MatmulDesc desc, DescAttribute attribute, const void* value, size_t bytes) {
    switch (attribute) {
        case kTransposeA:
            desc->opA = *static_cast<const int32_t*>(value);
            return bytes == 4 ? kSuccess : Status(7);
        case kTransposeB:
            desc->opB = *static_cast<const int32_t*>(value);
            return bytes == 4 ? kSuccess : Status(7);
        case kEpilogue:
            desc->epilogue = *static_cast<const uint32_t*>(value);
            return bytes == 4 ? kSuccess : Status(7);
        case kBiasPointer:
            desc->bias = *static_cast<const void* const*>(value);
            return bytes == 8 ? kSuccess : Status(7);
    }
    return Status(7);
}
Status createLayout(Layout* layout, DataType type, uint64_t rows, uint64_t columns, int64_t leading) {
    if (leading < static_cast<int64_t>(rows)) return Status(7);
    *layout = new LtLayout{type, rows, columns, leading};
    return kSuccess;
}
Status destroyLayout(Layout layout) {
    delete layout;
    return kSuccess;
}
Status setLayout(Layout layout, LayoutAttribute attribute, const void* value, size_t) {
    if (attribute == kBatchCount) layout->batches = *static_cast<const int32_t*>(value);
    if (attribute == kBatchStride) layout->batchStride = *static_cast<const int64_t*>(value);
    return kSuccess;
}
Status createPreference(Preference* preference) {
    *preference = new LtPreference;
    return kSuccess;
}
Status destroyPreference(Preference preference) {
    delete preference;
    return kSuccess;
}
Status setPreference(Preference preference, PreferenceAttribute attribute, const void* value, size_t) {
    if (attribute == kWorkspaceBytes) preference->workspaceBytes = *static_cast<const size_t*>(value);
    return kSuccess;
}

// What fits: the shapes, as the library would check them. Larger products work in memory that they are given,
// where they may.
Status heuristic(Handle, MatmulDesc desc, Layout a, Layout b, Layout c, Layout d, Preference preference, int,
                 Heuristic* best, int* found) {
    constexpr size_t kWorkspace = size_t{8} << 20;
    const uint64_t m = desc->opA ? a->columns : a->rows, k = desc->opA ? a->rows : a->columns;
    const uint64_t k2 = desc->opB ? b->columns : b->rows, n = desc->opB ? b->rows : b->columns;
    *found = 0;
    if (k != k2 || d->rows != m || d->columns != n || c->rows != m || c->columns != n) return Status(7);
    if (a->batches != d->batches || b->batches != d->batches) return Status(7);
    *best = {};
    if (m * n * k >= 4096 && preference->workspaceBytes >= kWorkspace) best->workspaceBytes = kWorkspace;
    best->algorithm.data[0] = best->workspaceBytes;
    *found = 1;
    return kSuccess;
}

template <typename T>
void multiply(const LtMatmulDesc& desc, const T* a, const LtLayout& la, const T* b, const LtLayout& lb, T* d,
              const LtLayout& ld) {
    using C = std::conditional_t<std::is_same_v<T, double>, double, float>;
    const int64_t k = static_cast<int64_t>(desc.opA ? la.rows : la.columns);
    for (int32_t batch = 0; batch < ld.batches; batch++) {
        const T *const x = a + batch * la.batchStride, *const y = b + batch * lb.batchStride;
        T* const out = d + batch * ld.batchStride;
        for (int64_t j = 0; j < static_cast<int64_t>(ld.columns); j++) {
            for (int64_t i = 0; i < static_cast<int64_t>(ld.rows); i++) {
                C sum = 0;
                for (int64_t t = 0; t < k; t++) {
                    sum += static_cast<C>(desc.opA ? x[i * la.leading + t] : x[t * la.leading + i]) *
                           static_cast<C>(desc.opB ? y[t * lb.leading + j] : y[j * lb.leading + t]);
                }
                if (desc.epilogue == kBias) sum += static_cast<C>(static_cast<const T*>(desc.bias)[i]);
                out[j * ld.leading + i] = T(sum);
            }
        }
    }
}

Status matmul(Handle, MatmulDesc desc, const void*, const void* a, Layout la, const void* b, Layout lb,
              const void*, const void*, Layout, void* d, Layout ld, const Algorithm* algorithm,
              void* workspace, size_t workspaceBytes, cudaStream_t) {
    const emulation::Access access;
    const size_t needed = algorithm->data[0];
    if (workspaceBytes < needed) return Status(7);
    if (needed > 0) std::memset(workspace, 1, needed);
    const auto run = [&](auto element) {
        using T = decltype(element);
        multiply(*desc, static_cast<const T*>(a), *la, static_cast<const T*>(b), *lb, static_cast<T*>(d),
                 *ld);
    };
    switch (ld->type) {
        case kFloat64:
            run(double{});
            break;
        case kFloat16:
            run(Float16{});
            break;
        case kBFloat16:
            run(BFloat16{});
            break;
        default:
            run(float{});
    }
    return kSuccess;
}

const emulation::Symbols symbols({
    {"cublasLtCreate", reinterpret_cast<void*>(&create)},
    {"cublasLtDestroy", reinterpret_cast<void*>(&destroy)},
    {"cublasLtMatmulDescCreate", reinterpret_cast<void*>(&createDesc)},
    {"cublasLtMatmulDescDestroy", reinterpret_cast<void*>(&destroyDesc)},
    {"cublasLtMatmulDescSetAttribute", reinterpret_cast<void*>(&setDesc)},
    {"cublasLtMatrixLayoutCreate", reinterpret_cast<void*>(&createLayout)},
    {"cublasLtMatrixLayoutDestroy", reinterpret_cast<void*>(&destroyLayout)},
    {"cublasLtMatrixLayoutSetAttribute", reinterpret_cast<void*>(&setLayout)},
    {"cublasLtMatmulPreferenceCreate", reinterpret_cast<void*>(&createPreference)},
    {"cublasLtMatmulPreferenceDestroy", reinterpret_cast<void*>(&destroyPreference)},
    {"cublasLtMatmulPreferenceSetAttribute", reinterpret_cast<void*>(&setPreference)},
    {"cublasLtMatmulAlgoGetHeuristic", reinterpret_cast<void*>(&heuristic)},
    {"cublasLtMatmul", reinterpret_cast<void*>(&matmul)},
});

}  // namespace
