#include "core/context.h"

#include <cstdlib>
#include <cstring>

namespace anneal {

Storage::Storage(Context& context, size_t bytes, bool forHost)
    : context_(context), data_(context.allocator().allocate(bytes, forHost)), bytes_(bytes) {}

Storage::~Storage() { context_.allocator().release(data_, bytes_); }

std::string describe(const Tensor& tensor) {
    return std::string(dtypeName(tensor.dtype())) + tensor.sizes().toString();
}

Context::Context() : allocator_(stream_) {
    const char* synchronous = std::getenv("ANNEAL_SYNC");
    stream_.synchronous = synchronous && *synchronous && std::strcmp(synchronous, "0") != 0;
}

Context::~Context() { stream_.wait(); }

Tensor Context::empty(DType dtype, const Dims& sizes, bool forHost) {
    return empty(dtype, sizes, contiguousStrides(sizes), forHost);
}

Tensor Context::empty(DType dtype, const Dims& sizes, const Dims& strides, bool forHost) {
    int64_t bytes = 0;
    CHECK(!__builtin_mul_overflow(numelOf(sizes), static_cast<int64_t>(dtypeSize(dtype)), &bytes),
          ErrorKind::Shape, "too many elements: ", sizes.toString());
    return Tensor(StorageRef(new Storage(*this, static_cast<size_t>(bytes), forHost)), dtype, sizes, strides);
}

Tensor Context::emptyLike(const Tensor& like) { return emptyLike(like, like.dtype()); }

Tensor Context::emptyLike(const Tensor& like, DType dtype) {
    return empty(dtype, like.sizes(), like.isDense() ? like.strides() : contiguousStrides(like.sizes()));
}

Tensor Context::emptyChannelsLast(DType dtype, const Dims& sizes) {
    return empty(dtype, sizes, channelsLastStrides(sizes));
}

}  // namespace anneal
