// Devices and their memory, and recordings of what was queued for them.
#include "binding/addon.h"
#include "core/kernels.h"

namespace anneal::binding {

Device Addon::deviceOf(const Napi::Value& number) const {
    const int device = number.IsNumber() ? number.As<Napi::Number>().Int32Value() : 0;
    CHECK_DEVICE(device >= 0 && device < kMaxDevices, "there is no device number ", device);
    return Device(device);
}

Napi::Value Addon::memoryStats(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const Device device = deviceOf(info[0]);
        const DeviceRuntime* const runtime = context_->openRuntime(device);
        const MemoryStats stats = device.isCpu() ? context_->allocator().stats()
                                  : runtime      ? runtime->stats()
                                                 : MemoryStats{};
        Napi::Object result = Napi::Object::New(info.Env());
        result.Set("bytesInUse", static_cast<double>(stats.inUse));
        result.Set("bytesCached", static_cast<double>(stats.cached));
        result.Set("peakBytes", static_cast<double>(stats.peak));
        result.Set("systemAllocations", static_cast<double>(stats.allocations));
        result.Set("tensors", static_cast<double>(slots_.live()));
        return result;
    });
}

void Addon::resetPeak(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const Device device = deviceOf(info[0]);
        if (device.isCpu()) {
            context_->allocator().resetPeak();
        } else if (DeviceRuntime* const runtime = context_->openRuntime(device)) {
            runtime->resetPeak();
        }
    });
}

void Addon::emptyCache(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { context_->emptyCache(); });
}

// openDevice(number): throws what keeps the device from being used.
void Addon::openDevice(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const Device device = deviceOf(info[0]);
        if (!device.isCpu()) context_->runtime(device);
    });
}

Napi::Value Addon::deviceCount(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), cudaDeviceCount());
}

Napi::Value Addon::cudaInfo(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        Napi::Object result = Napi::Object::New(info.Env());
        result.Set("compiled", cudaCompiled());
        result.Set("emulated", cudaEmulated());
        result.Set("problem", cudaProblem());
        Napi::Array devices = Napi::Array::New(info.Env()), libraries = Napi::Array::New(info.Env());
        for (int i = 0; i < cudaDeviceCount(); i++) {
            const DeviceFacts facts = cudaDeviceFacts(i);
            Napi::Object device = Napi::Object::New(info.Env());
            device.Set("name", facts.name);
            device.Set("capability", facts.capability);
            device.Set("totalBytes", static_cast<double>(facts.totalBytes));
            device.Set("freeBytes", static_cast<double>(facts.freeBytes));
            devices.Set(devices.Length(), device);
        }
        for (const auto& [name, state] : cudaLibraries()) {
            Napi::Object library = Napi::Object::New(info.Env());
            library.Set("name", name);
            library.Set("state", state);
            libraries.Set(libraries.Length(), library);
        }
        result.Set("devices", devices);
        result.Set("libraries", libraries);
        return result;
    });
}

void Addon::setTf32(const Napi::CallbackInfo& info) { cudaAllowTf32(info[0].As<Napi::Boolean>().Value()); }

void Addon::beginRecording(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { context_->beginRecording(); });
}

Napi::Value Addon::endRecording(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        recordings_[++lastRecording_] = context_->endRecording();
        return Napi::Number::New(info.Env(), lastRecording_);
    });
}

std::shared_ptr<Recording> Addon::recordingOf(const Napi::Value& number) const {
    const auto found = recordings_.find(number.IsNumber() ? number.As<Napi::Number>().Int32Value() : -1);
    CHECK(found != recordings_.end(), ErrorKind::General, "this recording has been freed");
    return found->second;
}

void Addon::replay(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { context_->replay(recordingOf(info[0])); });
}

Napi::Value Addon::isCaptured(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const std::shared_ptr<Recording> recording = recordingOf(info[0]);
        context_->stream().wait();
        return Napi::Boolean::New(info.Env(), recording->captured());
    });
}

// Its steps may still be in the queue.
void Addon::dropRecording(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const auto found =
            recordings_.find(info[0].IsNumber() ? info[0].As<Napi::Number>().Int32Value() : -1);
        if (found == recordings_.end()) return;
        context_->stream().wait();
        recordings_.erase(found);
    });
}

// The kernels that CUDA lacks, for tests.
Napi::Value Addon::missingKernels(const Napi::CallbackInfo& info) {
    Napi::Array result = Napi::Array::New(info.Env());
    const KernelTable& table = cudaKernels();
#define KERNEL(name) \
    if (!table.name.function) result.Set(result.Length(), #name);
#define DEVICE_KERNEL(name) KERNEL(name)
#include "core/kernels.def"
#undef KERNEL
#undef DEVICE_KERNEL
    return result;
}

}  // namespace anneal::binding
