#include "core/context.h"

#include <cstdlib>
#include <cstring>

#include "core/kernels.h"

namespace anneal {

Storage::Storage(Context& context, Device device, size_t bytes, bool forHost)
    : context_(context),
      device_(device),
      data_(device.isCpu() ? context.allocator().allocate(bytes, forHost)
                           : context.runtime(device).allocate(bytes)),
      bytes_(bytes) {}

Storage::~Storage() {
    if (device_.isCpu()) {
        context_.allocator().release(data_, bytes_);
    } else {
        context_.openRuntime(device_)->release(data_, bytes_);
    }
}

std::string describe(const Tensor& tensor) {
    return std::string(dtypeName(tensor.dtype())) + tensor.sizes().toString();
}

Context::Context() : kernels_(&cpuKernels()), allocator_(stream_) {
    const char* synchronous = std::getenv("ANNEAL_SYNC");
    stream_.synchronous = synchronous && *synchronous && std::strcmp(synchronous, "0") != 0;
}

Context::~Context() { stream_.wait(); }

DeviceRuntime& Context::runtime(Device device) {
    auto& slot = runtimes_[static_cast<size_t>(device.ordinal())];
    if (!slot) slot = openCudaDevice(*this, device.ordinal());
    return *slot;
}

void Context::switchTo(Device device) {
    kernels_ = device.isCpu() ? &cpuKernels() : &runtime(device).kernels();
    device_ = device;
}

void Context::enqueueDeviceWait() {
    for (const auto& runtime : runtimes_) {
        if (runtime) stream_.enqueue("wait", [device = runtime.get()] { device->wait(); });
    }
}

void Context::synchronize() {
    enqueueDeviceWait();
    stream_.wait();
    stream_.throwPendingError();
}

void Context::emptyCache() {
    allocator_.emptyCache();
    for (const auto& runtime : runtimes_) {
        if (runtime) runtime->emptyCache();
    }
}

size_t Context::bytesInUse() const {
    size_t bytes = allocator_.stats().inUse;
    for (const auto& runtime : runtimes_) {
        if (runtime) bytes += runtime->stats().inUse;
    }
    return bytes;
}

Tensor Context::empty(DType dtype, const Dims& sizes, bool forHost) {
    return empty(dtype, sizes, contiguousStrides(sizes), forHost);
}

Tensor Context::empty(DType dtype, const Dims& sizes, const Dims& strides, bool forHost) {
    int64_t bytes = 0;
    CHECK(!__builtin_mul_overflow(numelOf(sizes), static_cast<int64_t>(dtypeSize(dtype)), &bytes),
          ErrorKind::Shape, "too many elements: ", sizes.toString());
    // What the host writes at once lies where the host can.
    const Device device = forHost ? Device::cpu() : device_;
    return Tensor(StorageRef(new Storage(*this, device, static_cast<size_t>(bytes), forHost)), dtype, sizes,
                  strides);
}

Tensor Context::emptyLike(const Tensor& like) { return emptyLike(like, like.dtype()); }

Tensor Context::emptyLike(const Tensor& like, DType dtype) {
    return empty(dtype, like.sizes(), like.isDense() ? like.strides() : contiguousStrides(like.sizes()));
}

Tensor Context::emptyChannelsLast(DType dtype, const Dims& sizes) {
    return empty(dtype, sizes, channelsLastStrides(sizes));
}

}  // namespace anneal
