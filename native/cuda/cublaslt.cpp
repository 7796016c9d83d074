#include "cuda/cublaslt.h"

#include "core/error.h"
#include "cuda/library.h"

namespace anneal::cuda::lt {

const Functions& functions() {
    static const Functions table = [] {
        Functions f;
        Library& library = cublasLtLibrary();
        library.bind(f.create, "cublasLtCreate");
        library.bind(f.destroy, "cublasLtDestroy");
        library.bind(f.createDesc, "cublasLtMatmulDescCreate");
        library.bind(f.destroyDesc, "cublasLtMatmulDescDestroy");
        library.bind(f.setDesc, "cublasLtMatmulDescSetAttribute");
        library.bind(f.createLayout, "cublasLtMatrixLayoutCreate");
        library.bind(f.destroyLayout, "cublasLtMatrixLayoutDestroy");
        library.bind(f.setLayout, "cublasLtMatrixLayoutSetAttribute");
        library.bind(f.createPreference, "cublasLtMatmulPreferenceCreate");
        library.bind(f.destroyPreference, "cublasLtMatmulPreferenceDestroy");
        library.bind(f.setPreference, "cublasLtMatmulPreferenceSetAttribute");
        library.bind(f.heuristic, "cublasLtMatmulAlgoGetHeuristic");
        library.bind(f.matmul, "cublasLtMatmul");
        return f;
    }();
    return table;
}

void check(Status status, const char* what) {
    CHECK(status == kSuccess, ErrorKind::Kernel, "cuBLASLt: ", what, " failed with status ",
          static_cast<int>(status));
}

// "Invalid value", "architecture mismatch", "not supported".
bool declines(Status status) { return status == 7 || status == 8 || status == 15; }

}  // namespace anneal::cuda::lt
