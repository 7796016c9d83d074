#include "cuda/cudnn.h"

#include "core/error.h"
#include "cuda/library.h"

namespace anneal::cuda::dnn {

const Functions& functions() {
    static const Functions table = [] {
        Functions f;
        Library& library = cudnnLibrary();
        library.bind(f.version, "cudnnGetVersion");
        CHECK_DEVICE(f.version() >= 8000, "cuDNN ", f.version(), " is too old: anneal needs version 8 or 9");
        library.bind(f.errorString, "cudnnGetErrorString");
        library.bind(f.create, "cudnnCreate");
        library.bind(f.destroy, "cudnnDestroy");
        library.bind(f.setStream, "cudnnSetStream");
        library.bind(f.createTensor, "cudnnCreateTensorDescriptor");
        library.bind(f.destroyTensor, "cudnnDestroyTensorDescriptor");
        library.bind(f.setTensor, "cudnnSetTensor4dDescriptor");
        library.bind(f.createFilter, "cudnnCreateFilterDescriptor");
        library.bind(f.destroyFilter, "cudnnDestroyFilterDescriptor");
        library.bind(f.setFilter, "cudnnSetFilter4dDescriptor");
        library.bind(f.createConvolution, "cudnnCreateConvolutionDescriptor");
        library.bind(f.destroyConvolution, "cudnnDestroyConvolutionDescriptor");
        library.bind(f.setConvolution, "cudnnSetConvolution2dDescriptor");
        library.bind(f.setGroups, "cudnnSetConvolutionGroupCount");
        library.bind(f.setMath, "cudnnSetConvolutionMathType");
        library.bind(f.findForward, "cudnnFindConvolutionForwardAlgorithmEx");
        library.bind(f.findInput, "cudnnFindConvolutionBackwardDataAlgorithmEx");
        library.bind(f.findWeight, "cudnnFindConvolutionBackwardFilterAlgorithmEx");
        library.bind(f.forward, "cudnnConvolutionForward");
        library.bind(f.backwardInput, "cudnnConvolutionBackwardData");
        library.bind(f.backwardWeight, "cudnnConvolutionBackwardFilter");
        return f;
    }();
    return table;
}

void check(Status status, const char* what) {
    CHECK(status == kSuccess, ErrorKind::Kernel, "cuDNN: ", what, ": ", functions().errorString(status));
}

// "Bad parameter" and "not supported" of version 8, and the thousands of theirs in version 9.
bool declines(Status status) { return status == 3 || status == 9 || (status >= 2000 && status < 4000); }

}  // namespace anneal::cuda::dnn
