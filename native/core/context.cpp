#include "core/context.h"

#include <cstdlib>
#include <cstring>

#include "core/allocator.h"
#include "core/device_runtime.h"
#include "core/kernels.h"
#include "core/recording.h"

namespace anneal {

Storage::Storage(Context& context, Device device, size_t bytes, bool forHost)
    : context_(context),
      device_(device),
      data_(nullptr),
      bytes_(bytes),
      capacity_(bytes),
      recording_(context.stream().recording()) {
    if (recording_) {
        // Classes of sizes, so that a recording's blocks serve more than one shape.
        capacity_ = CachingAllocator::roundUp(bytes);
        if (!forHost) data_ = recording_->reuse(device, capacity_);
    }
    if (!data_) {
        data_ = device.isCpu() ? context.allocator().allocate(capacity_, forHost)
                               : context.runtime(device).allocate(capacity_);
    }
    if (recording_) {
        recording_->bornHere(this);
        // What the host writes is written once: it must last.
        if (forHost) recording_->keepAlways(this);
    }
}

Storage::~Storage() {
    Recording* const current = context_.making();
    if (current && current == recording_) {
        current->diedHere(this);
        current->leave(device_, capacity_, data_);
    } else {
        context_.release(device_, data_, capacity_);
    }
}

void Context::release(Device device, void* block, size_t bytes) {
    if (device.isCpu()) {
        allocator_->release(block, bytes);
    } else {
        openRuntime(device)->release(block, bytes);
    }
}

void Context::beginRecording() {
    CHECK(!made_, ErrorKind::General, "a recording is being made already: recordings do not nest");
    made_ = std::make_shared<Recording>(*this);
    stream_.setRecording(made_.get());
}

std::shared_ptr<Recording> Context::endRecording() {
    CHECK(made_, ErrorKind::General, "no recording is being made");
    stream_.setRecording(nullptr);
    made_->finish();
    return std::move(made_);
}

void Context::replay(const std::shared_ptr<Recording>& recording) {
    CHECK(!made_, ErrorKind::General, "a recording cannot be repeated within another");
    recording->forgetDerived();
    // Whoever drops it waits for the queue first.
    stream_.enqueueOnce("replay", [recording = recording.get()] { recording->run(); });
}

std::string describe(const Tensor& tensor) {
    return std::string(dtypeName(tensor.dtype())) + tensor.sizes().toString();
}

Context::Context() : kernels_(&cpuKernels()), allocator_(new CachingAllocator(stream_)) {
    const char* synchronous = std::getenv("ANNEAL_SYNC");
    stream_.synchronous = synchronous && *synchronous && std::strcmp(synchronous, "0") != 0;
}

Context::~Context() { stream_.abandon(); }

DeviceRuntime& Context::runtime(Device device) {
    CHECK_DEVICE(device.number() > 0 && device.number() < kMaxDevices, "there is no device number ",
                 device.number());
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
        if (runtime) stream_.enqueueOnce("wait", [device = runtime.get()] { device->wait(); });
    }
}

void Context::synchronize() {
    enqueueDeviceWait();
    stream_.wait();
    stream_.throwPendingError();
}

void Context::abandon() {
    stream_.abandon();
    // The engine thread is idle now, so that this one may speak to the devices.
    for (const auto& runtime : runtimes_) {
        if (!runtime) continue;
        try {
            runtime->wait();
        } catch (const std::exception&) {
            // Nobody is left to be told.
        }
    }
}

void Context::emptyCache() {
    allocator_->emptyCache();
    for (const auto& runtime : runtimes_) {
        if (runtime) runtime->emptyCache();
    }
}

size_t Context::bytesInUse() const {
    size_t bytes = allocator_->stats().inUse;
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
