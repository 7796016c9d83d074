#include "core/recording.h"

#include "core/context.h"
#include "core/device_runtime.h"
#include "core/stream.h"

namespace anneal {

Recording::~Recording() {
    // Another recording may come to lie at this address: what outlives this one must not be taken for its.
    for (const StorageRef& storage : kept_) {
        if (storage->recording() == this) storage->outliveRecording();
    }
    kept_.clear();
    for (auto& [key, blocks] : spare_) {
        for (void* block : blocks) context_.release(Device(key.first), block, key.second);
    }
}

void Recording::add(const char* op, std::shared_ptr<void> body, void (*run)(void*)) {
    const int device = context_.device().number();
    device_ = device_ == -1 || device_ == device ? device : -2;
    steps_.push_back({op, std::move(body), run});
}

void Recording::keep(const StorageRef& storage) {
    if (storage->recording() != this && known_.insert(storage.get()).second) kept_.push_back(storage);
}

void* Recording::reuse(Device device, size_t bytes) {
    const auto found = spare_.find({device.number(), bytes});
    if (found == spare_.end() || found->second.empty()) return nullptr;
    void* const block = found->second.back();
    found->second.pop_back();
    return block;
}

void Recording::finish() {
    for (Storage* storage : living_) kept_.push_back(StorageRef(storage));
    living_.clear();
    known_.clear();
}

void Recording::runSteps() {
    for (const Step& step : steps_) {
        try {
            step.run(step.body.get());
        } catch (const OpError&) {
            throw;
        } catch (const std::exception& failure) {
            const auto* known = dynamic_cast<const Error*>(&failure);
            throw OpError(known ? known->kind() : ErrorKind::Kernel,
                          std::string(step.op) + ": " + failure.what());
        }
    }
}

void Recording::run() {
    if (device_ > 0) {
        DeviceRuntime& runtime = *context_.openRuntime(Device(device_));
        if (!captureTried_) {
            captureTried_ = true;
            graph_ = runtime.capture([this] { runSteps(); });
        }
        if (graph_) return runtime.launchCaptured(graph_);
    }
    runSteps();
}

void detail::addToRecording(Recording& recording, const char* op, std::shared_ptr<void> body,
                            void (*run)(void*)) {
    recording.add(op, std::move(body), run);
}

Unrecorded::Unrecorded(Context& context) : context_(context), before_(context.stream().recording()) {
    context.stream().setRecording(nullptr);
}

Unrecorded::~Unrecorded() { context_.stream().setRecording(before_); }

}  // namespace anneal
