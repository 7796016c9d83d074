#include "binding/addon.h"

#include "core/op_table.h"

namespace anneal::binding {

namespace {

// At process.exit, and after an error that nobody catches, Node does not tear the main thread's environment
// down: the engine would still be running while static objects are destroyed that it uses, such as oneDNN's.
// Those that belong to a thread are destroyed before them.
struct LivingAddons {
    std::unordered_set<Addon*> addons;
    ~LivingAddons() {
        for (Addon* addon : addons) addon->halt();
    }
};

thread_local LivingAddons living;

}  // namespace

Napi::Error Addon::toError(Napi::Env env, const std::exception& failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    const auto* known = dynamic_cast<const Error*>(&failure);
    error.Set("kind", Napi::Number::New(env, static_cast<int>(known ? known->kind() : ErrorKind::General)));
    return error;
}

Addon::Addon(Napi::Env env, Napi::Object exports) : context_(std::make_unique<Context>()) {
    Napi::Array names = Napi::Array::New(env);
    for (const OpEntry& op : opTable()) names.Set(names.Length(), op.name);

    DefineAddon(exports, {InstanceMethod("takeError", &Addon::takeError),
                          InstanceMethod("flushReleased", &Addon::flushReleased),
                          InstanceMethod("fromBytes", &Addon::fromBytes),
                          InstanceMethod("readSync", &Addon::readSync),
                          InstanceMethod("readAsync", &Addon::readAsync),
                          InstanceMethod("synchronize", &Addon::synchronize),
                          InstanceMethod("memoryStats", &Addon::memoryStats),
                          InstanceMethod("resetPeak", &Addon::resetPeak),
                          InstanceMethod("emptyCache", &Addon::emptyCache),
                          InstanceMethod("manualSeed", &Addon::manualSeed),
                          InstanceMethod("generatorState", &Addon::generatorState),
                          InstanceMethod("setGeneratorState", &Addon::setGeneratorState),
                          InstanceMethod("buildInfo", &Addon::buildInfo),
                          InstanceMethod("cudaInfo", &Addon::cudaInfo),
                          InstanceMethod("deviceCount", &Addon::deviceCount),
                          InstanceMethod("openDevice", &Addon::openDevice),
                          InstanceMethod("missingKernels", &Addon::missingKernels),
                          InstanceMethod("setTf32", &Addon::setTf32),
                          InstanceMethod("beginRecording", &Addon::beginRecording),
                          InstanceMethod("endRecording", &Addon::endRecording),
                          InstanceMethod("replay", &Addon::replay),
                          InstanceMethod("isCaptured", &Addon::isCaptured),
                          InstanceMethod("dropRecording", &Addon::dropRecording),
                          InstanceMethod("setThreads", &Addon::setThreads),
                          InstanceMethod("setProfiling", &Addon::setProfiling),
                          InstanceMethod("profile", &Addon::profile)});
    exports.Set("args", arguments_.open<Napi::Float64Array>(env, kArgumentSlots));
    exports.Set("kinds", kinds_.open<Napi::Uint8Array>(env, kArgumentSlots));
    exports.Set("results", results_.open<Napi::Float64Array>(env, kResultSlots));
    exports.Set("opNames", names);
    exports.Set("released", released_.open<Napi::Int32Array>(env, kReleaseSlots));
    const auto setPlain = [&](const char* name, napi_callback callback) {
        napi_value function;
        napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, this, &function);
        exports.Set(name, Napi::Function(env, function));
    };
    setPlain("call", &Addon::call);
    setPlain("describe", &Addon::describe);
    setPlain("sharesStorage", &Addon::sharesStorage);
    setPlain("canStandFor", &Addon::canStandFor);

    pictures_ = std::make_unique<Pictures>(env, exports);

    napi_value resourceName;
    napi_create_string_utf8(env, "anneal.read", NAPI_AUTO_LENGTH, &resourceName);
    napi_create_threadsafe_function(
        env, nullptr, nullptr, resourceName, 0, 1, nullptr, nullptr, this,
        [](napi_env rawEnv, napi_value, void* addonPointer, void* data) {
            if (!rawEnv) return;  // the addon sees to the read
            auto* addon = static_cast<Addon*>(addonPointer);
            const std::unique_ptr<PendingRead> read(static_cast<PendingRead*>(data));
            addon->reads_.erase(read.get());
            const Napi::Env env(rawEnv);
            const Napi::HandleScope scope(env);
            addon->readTook_ = read->took;
            if (addon->reads_.empty()) napi_unref_threadsafe_function(rawEnv, addon->readDone_);
            napi_value argument = env.Undefined();
            if (read->error) {
                try {
                    std::rethrow_exception(read->error);
                } catch (const std::exception& failure) {
                    argument = toError(env, failure).Value();
                }
            }
            try {
                read->done.MakeCallback(env.Global(), {argument});
            } catch (const Napi::Error& error) {
                napi_fatal_exception(rawEnv, error.Value());
            }
        },
        &readDone_);
    napi_unref_threadsafe_function(env, readDone_);
    // Hooks run from the last to the first: this one while readDone_ can still be called.
    napi_add_env_cleanup_hook(
        env, [](void* self) { static_cast<Addon*>(self)->closeReads(); }, this);
    living.addons.insert(this);
}

void Addon::halt() {
    readsClosed_ = true;
    context_->abandon();
    pictures_->halt();
}

void Addon::closeReads() {
    halt();
    napi_release_threadsafe_function(readDone_, napi_tsfn_abort);
}

Addon::~Addon() {
    living.addons.erase(this);
    halt();
    scratchResults_.clear();
    slots_ = TensorSlots();
    recordings_.clear();
    context_.reset();
    for (PendingRead* read : reads_) delete read;
}

napi_value Addon::call(napi_env env, napi_callback_info info) {
    size_t count = 2;
    napi_value values[2];
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, values, nullptr, &data);
    auto& addon = *static_cast<Addon*>(data);
    int32_t word = -1, argumentCount = 0, result = -1;
    napi_get_value_int32(env, values[0], &word);
    // The number of the op, and above it that of the device where an op without tensors makes its result.
    const int32_t op = word < 0 ? -1 : word & 0xffff;
    const Device device(word >> 16);
    napi_get_value_int32(env, values[1], &argumentCount);
    TensorList& results = addon.scratchResults_;
    try {
        addon.releasePending();
        const auto& table = opTable();
        CHECK(op >= 0 && static_cast<size_t>(op) < table.size(), ErrorKind::General, "unknown op number ",
              op);
        ArgReader reader(table[static_cast<size_t>(op)].name, addon.arguments_.data(), addon.kinds_.data(),
                         kArgumentSlots, argumentCount, addon.slots_);
        reader.keepFor(addon.context_->stream().recording());
        table[static_cast<size_t>(op)].run(table[static_cast<size_t>(op)].name, *addon.context_, device,
                                           reader, results);
        result = static_cast<int32_t>(results.size());
        CHECK(results.size() < kResultSlots, ErrorKind::General, "too many results");
        double* const out = addon.results_.data();
        for (size_t i = 0; i < results.size(); i++) out[i] = addon.slots_.add(std::move(results[i]));
        // A single one will be asked for its dtype or shape next.
        if (results.size() == 1) addon.writeDescription(out[0]);
        if (results.size() > 1) out[kResultSlots - 1] = 0;
    } catch (const std::exception& failure) {
        const auto* known = dynamic_cast<const Error*>(&failure);
        addon.errorKind_ = static_cast<int>(known ? known->kind() : ErrorKind::General);
        addon.errorMessage_ = failure.what();
        result = -1;
    }
    results.clear();
    addon.reportMemory(env);
    napi_value returned;
    napi_create_int32(env, result, &returned);
    return returned;
}

// The memory of a training step comes and goes. V8 collects whenever what it is told of has grown by some 64
// MB since it was last at its lowest: told of every fall, it would in every step. So it is told of what its
// own collection freed, and of the rest once that has been free for a while.
void Addon::reportMemory(napi_env env) {
    constexpr int64_t kStep = int64_t{16} << 20;
    constexpr std::chrono::seconds kPatience(1);
    int64_t change = static_cast<int64_t>(context_->bytesInUse()) - reportedBytes_;
    if (change > -kStep) {
        lowSince_.reset();
        collectedBytes_ = 0;
        if (change < kStep) return;
    } else if (collectedBytes_ >= kStep) {
        change = std::max(change, -collectedBytes_);
        collectedBytes_ = 0;
    } else {
        const auto now = std::chrono::steady_clock::now();
        if (!lowSince_) lowSince_ = now;
        if (now - *lowSince_ < kPatience) return;
    }
    int64_t total;
    napi_adjust_external_memory(env, change, &total);
    reportedBytes_ += change;
}

void Addon::releasePending() {
    int32_t* const released = released_.data();
    const int32_t count = released[0];
    if (count == 0) return;
    released[0] = 0;
    CHECK(count > 0 && static_cast<size_t>(count) < kReleaseSlots, ErrorKind::General, "cannot free ", count,
          " tensors at once");
    for (int32_t i = 1; i <= count; i++) {
        // Less than zero: V8 has collected it.
        if (released[i] >= 0) {
            slots_.release(released[i]);
            continue;
        }
        const auto before = static_cast<int64_t>(context_->bytesInUse());
        slots_.release(-released[i]);
        collectedBytes_ += before - static_cast<int64_t>(context_->bytesInUse());
    }
}

void Addon::flushReleased(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [] {});
}

Napi::Value Addon::takeError(const Napi::CallbackInfo& info) {
    Napi::Object error = Napi::Object::New(info.Env());
    error.Set("kind", errorKind_);
    error.Set("message", errorMessage_);
    return error;
}

}  // namespace anneal::binding

using anneal::binding::Addon;
NODE_API_ADDON(Addon)
