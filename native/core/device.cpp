#include "core/device.h"

#include <future>

namespace anneal {

std::string Device::name() const {
    return isCpu() ? std::string("cpu") : "cuda:" + std::to_string(ordinal());
}

void downloadNow(DeviceRuntime& runtime, void* target, const void* source, size_t bytes) {
    std::promise<void> arrived;
    runtime.download(target, source, bytes, [&](std::exception_ptr failure) {
        failure ? arrived.set_exception(failure) : arrived.set_value();
    });
    arrived.get_future().get();
}

}  // namespace anneal
