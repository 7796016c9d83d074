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
        library.bind(f.createDescriptor, "cudnnBackendCreateDescriptor");
        library.bind(f.destroyDescriptor, "cudnnBackendDestroyDescriptor");
        library.bind(f.finalize, "cudnnBackendFinalize");
        library.bind(f.setAttribute, "cudnnBackendSetAttribute");
        library.bind(f.getAttribute, "cudnnBackendGetAttribute");
        library.bind(f.execute, "cudnnBackendExecute");
        return f;
    }();
    return table;
}

void check(Status status, const char* what) {
    CHECK(status == kSuccess, ErrorKind::Kernel, "cuDNN: ", what, ": ", functions().errorString(status));
}

// "Bad parameter" and "not supported" of version 8, and the thousands of theirs in version 9.
bool declines(Status status) { return status == 3 || status == 9 || (status >= 2000 && status < 4000); }

Node::Node(Kind kind) { status_ = functions().createDescriptor(kind, &descriptor_); }

Node::~Node() {
    if (descriptor_) functions().destroyDescriptor(descriptor_);
}

Node& Node::set(Attribute attribute, ValueType type, int64_t count, const void* values) {
    if (good()) status_ = functions().setAttribute(descriptor_, attribute, type, count, values);
    return *this;
}

Node& Node::finish() {
    if (good()) status_ = functions().finalize(descriptor_);
    return *this;
}

int64_t Node::get(Attribute attribute, ValueType type, int64_t asked, void* values) const {
    int64_t count = 0;
    const Status status = functions().getAttribute(descriptor_, attribute, type, asked, &count, values);
    return status == kSuccess ? count : -1;
}

}  // namespace anneal::cuda::dnn
