// The Node-API shell: hands numbers across, keeps the table of tensors, turns failures into errors.
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL  // one that leaves a call ends the process
#include <napi.h>
#include <omp.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "binding/pictures.h"
#include "binding/tensor_slots.h"
#include "core/context.h"
#include "core/kernels.h"
#include "core/op_table.h"
#include "core/ops.h"
#include "cpu/onednn.h"
#include "picture/jpeg.h"

namespace anneal::binding {

namespace {

constexpr size_t kArgumentSlots = 32768;
constexpr size_t kResultSlots = 4096;

// Numbers that both sides write into. JavaScript may give the array away (to another thread, say) and lose
// it: the memory stays, for as long as either side has it.
template <typename Number>
class SharedNumbers {
  public:
    template <typename Array>
    Array open(Napi::Env env, size_t count) {
        memory_ = std::make_shared<std::vector<Number>>(count);
        auto* const held = new std::shared_ptr<std::vector<Number>>(memory_);
        try {
            return Array::New(
                env, count,
                Napi::ArrayBuffer::New(
                    env, memory_->data(), count * sizeof(Number),
                    [](Napi::BasicEnv, void*, std::shared_ptr<std::vector<Number>>* hint) { delete hint; },
                    held),
                0);
        } catch (...) {
            delete held;
            throw;
        }
    }
    Number* data() const { return memory_->data(); }

  private:
    std::shared_ptr<std::vector<Number>> memory_;
};

// What a typed array looks at.
struct ArrayMemory {
    char* data;
    size_t bytes;
};

ArrayMemory memoryOf(const Napi::Value& value, const char* op) {
    bool isTyped = false, isOwn = false;
    napi_value buffer = nullptr;
    void* data = nullptr;
    napi_is_typedarray(value.Env(), value, &isTyped);
    // Memory that is shared with other threads is another kind of buffer.
    if (isTyped &&
        napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, &buffer, nullptr) == napi_ok)
        napi_is_arraybuffer(value.Env(), buffer, &isOwn);
    CHECK(isOwn, ErrorKind::General, op, ": expected a typed array over memory that is not shared");
    return {static_cast<char*>(data), value.As<Napi::TypedArray>().ByteLength()};
}

// What a tensor's values are read into.
ArrayMemory memoryFor(const Tensor& tensor, const Napi::Value& array) {
    const ArrayMemory target = memoryOf(array, "read");
    CHECK_SHAPE(target.bytes == tensor.bytes(), "read: ", tensor.bytes(),
                " bytes do not fit into an array of ", target.bytes);
    return target;
}

Napi::Function functionOf(const Napi::Value& value) {
    if (!value.IsFunction()) throw Napi::TypeError::New(value.Env(), "expected a function to be told");
    return value.As<Napi::Function>();
}

// Which of the two sides of a read from an accelerator is there first.
enum class ReadState { Waiting, Arrived, WantsCall };

// An asynchronous read in flight. Made and destroyed on the JavaScript thread.
struct PendingRead {
    std::atomic<ReadState> state{ReadState::Waiting};
    Napi::ObjectReference target;  // keeps the array alive that the engine writes into
    Napi::FunctionReference done;
    std::exception_ptr error;
    std::chrono::steady_clock::time_point start;
    std::chrono::nanoseconds took{0};
};

class Addon : public Napi::Addon<Addon> {
  public:
    Addon(Napi::Env env, Napi::Object exports);
    ~Addon();
    // From here on no thread of ours runs. What was under way is dropped.
    void halt();

  private:
    // The hot path is plain Node-API: no wrapper objects, arguments and results in shared arrays.
    static napi_value call(napi_env env, napi_callback_info info);
    static napi_value release(napi_env env, napi_callback_info info);

    Napi::Value takeError(const Napi::CallbackInfo& info);
    Napi::Value describeTensor(const Napi::CallbackInfo& info);
    void releaseMany(const Napi::CallbackInfo& info);
    Napi::Value fromBytes(const Napi::CallbackInfo& info);
    void readSync(const Napi::CallbackInfo& info);
    Napi::Value readAsync(const Napi::CallbackInfo& info);
    void synchronize(const Napi::CallbackInfo& info);
    Napi::Value memoryStats(const Napi::CallbackInfo& info);
    void resetPeak(const Napi::CallbackInfo& info);
    void emptyCache(const Napi::CallbackInfo& info);
    void manualSeed(const Napi::CallbackInfo& info);
    Napi::Value generatorState(const Napi::CallbackInfo& info);
    void setGeneratorState(const Napi::CallbackInfo& info);
    Napi::Value sharesStorage(const Napi::CallbackInfo& info);
    Napi::Value buildInfo(const Napi::CallbackInfo& info);
    Napi::Value cudaInfo(const Napi::CallbackInfo& info);
    Napi::Value deviceCount(const Napi::CallbackInfo& info);
    void openDevice(const Napi::CallbackInfo& info);
    Napi::Value missingKernels(const Napi::CallbackInfo& info);
    void setTf32(const Napi::CallbackInfo& info);
    void beginRecording(const Napi::CallbackInfo& info);
    Napi::Value endRecording(const Napi::CallbackInfo& info);
    void replay(const Napi::CallbackInfo& info);
    Napi::Value isCaptured(const Napi::CallbackInfo& info);
    void dropRecording(const Napi::CallbackInfo& info);
    std::shared_ptr<Recording> recordingOf(const Napi::Value& number) const;
    void setThreads(const Napi::CallbackInfo& info);
    void setProfiling(const Napi::CallbackInfo& info);
    Napi::Value profile(const Napi::CallbackInfo& info);

    // Runs `body`; a failure of the engine becomes a JavaScript error with its kind attached.
    template <typename Body>
    auto guarded(Napi::Env env, const Body& body) -> decltype(body());
    static Napi::Error toError(Napi::Env env, const std::exception& failure);
    void enqueueRead(const Tensor& tensor, const Napi::Value& target);
    // As enqueueRead, from an accelerator; `done` may be called from another thread.
    template <typename Done>
    void enqueueDownload(const Tensor& tensor, const Napi::Value& target, Done done);
    bool readFromDevice(const Napi::CallbackInfo& info, const Tensor& tensor);
    void announce(PendingRead* read);
    // Runs before Node closes what the engine's thread calls.
    void closeReads();
    Device deviceOf(const Napi::Value& number) const;
    // How long a read spins: about as long as the last one took, if that was short. The way back from the
    // engine's thread through the event loop would take as long again.
    std::chrono::nanoseconds patience() const {
        constexpr std::chrono::microseconds kShort(500), kLeast(20);
        return readTook_ < kShort ? 2 * readTook_ + kLeast : kLeast;
    }
    // Tells V8 of the engine's memory, so that its collector hurries when tensors wait for it.
    void reportMemory(napi_env env);

    std::unique_ptr<Context> context_;
    std::map<int32_t, std::shared_ptr<Recording>> recordings_;
    int32_t lastRecording_ = 0;
    std::unique_ptr<Pictures> pictures_;
    TensorSlots slots_;
    SharedNumbers<double> arguments_, results_;
    SharedNumbers<uint8_t> kinds_;
    std::string errorMessage_;
    int errorKind_ = 0;
    TensorList scratchResults_;
    napi_threadsafe_function readDone_ = nullptr;
    std::unordered_set<PendingRead*> reads_;  // JavaScript thread only
    std::chrono::nanoseconds readTook_{0};    // by the last read, until its values were there
    std::atomic<bool> readsClosed_{false};    // the environment is being torn down
    int64_t reportedBytes_ = 0;
};

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

Napi::Error Addon::toError(Napi::Env env, const std::exception& failure) {
    Napi::Error error = Napi::Error::New(env, failure.what());
    const auto* known = dynamic_cast<const Error*>(&failure);
    error.Set("kind", Napi::Number::New(env, static_cast<int>(known ? known->kind() : ErrorKind::General)));
    return error;
}

template <typename Body>
auto Addon::guarded(Napi::Env env, const Body& body) -> decltype(body()) {
    try {
        return body();
    } catch (const Napi::Error&) {
        throw;
    } catch (const std::exception& failure) {
        throw toError(env, failure);
    }
}

Addon::Addon(Napi::Env env, Napi::Object exports) : context_(std::make_unique<Context>()) {
    Napi::Array names = Napi::Array::New(env);
    for (const OpEntry& op : opTable()) names.Set(names.Length(), op.name);

    DefineAddon(exports, {InstanceMethod("takeError", &Addon::takeError),
                          InstanceMethod("describe", &Addon::describeTensor),
                          InstanceMethod("releaseMany", &Addon::releaseMany),
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
                          InstanceMethod("sharesStorage", &Addon::sharesStorage),
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
    exports.Set("call", Napi::Function(env, [&] {
                    napi_value function;
                    napi_create_function(env, "call", NAPI_AUTO_LENGTH, &Addon::call, this, &function);
                    return function;
                }()));
    exports.Set("release", Napi::Function(env, [&] {
                    napi_value function;
                    napi_create_function(env, "release", NAPI_AUTO_LENGTH, &Addon::release, this, &function);
                    return function;
                }()));

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
        const auto& table = opTable();
        CHECK(op >= 0 && static_cast<size_t>(op) < table.size(), ErrorKind::General, "unknown op number ",
              op);
        ArgReader reader(table[static_cast<size_t>(op)].name, addon.arguments_.data(), addon.kinds_.data(),
                         kArgumentSlots, argumentCount, addon.slots_);
        reader.keepFor(addon.context_->stream().recording());
        table[static_cast<size_t>(op)].run(table[static_cast<size_t>(op)].name, *addon.context_, device,
                                           reader, results);
        result = static_cast<int32_t>(results.size());
        CHECK(results.size() <= kResultSlots, ErrorKind::General, "too many results");
        for (size_t i = 0; i < results.size(); i++)
            addon.results_.data()[i] = addon.slots_.add(std::move(results[i]));
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

void Addon::reportMemory(napi_env env) {
    constexpr int64_t kStep = int64_t{16} << 20;
    const size_t bytes = context_->bytesInUse();
    const int64_t change = static_cast<int64_t>(bytes) - reportedBytes_;
    if (change < kStep && change > -kStep) return;
    int64_t total;
    napi_adjust_external_memory(env, change, &total);
    reportedBytes_ += change;
}

napi_value Addon::release(napi_env env, napi_callback_info info) {
    size_t count = 1;
    napi_value value;
    void* data = nullptr;
    napi_get_cb_info(env, info, &count, &value, nullptr, &data);
    int32_t handle = 0;
    napi_get_value_int32(env, value, &handle);
    try {
        static_cast<Addon*>(data)->slots_.release(handle);
    } catch (const std::exception& failure) {
        napi_throw_error(env, nullptr, failure.what());
    }
    return nullptr;
}

Napi::Value Addon::takeError(const Napi::CallbackInfo& info) {
    Napi::Object error = Napi::Object::New(info.Env());
    error.Set("kind", errorKind_);
    error.Set("message", errorMessage_);
    return error;
}

// results: dtype, number of dimensions, sizes, strides, offset, device.
Napi::Value Addon::describeTensor(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const Tensor& tensor = slots_.get(info[0].As<Napi::Number>().DoubleValue());
        double* out = results_.data();
        *out++ = static_cast<double>(tensor.dtype());
        *out++ = tensor.dims();
        for (int64_t size : tensor.sizes()) *out++ = static_cast<double>(size);
        for (int64_t stride : tensor.strides()) *out++ = static_cast<double>(stride);
        *out++ = static_cast<double>(tensor.offset());
        *out++ = tensor.device().number();
        return info.Env().Undefined();
    });
}

// The first `count` entries of args are handles.
void Addon::releaseMany(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const auto count = std::min<size_t>(info[0].As<Napi::Number>().Uint32Value(), kArgumentSlots);
        for (size_t i = 0; i < count; i++) slots_.release(arguments_.data()[i]);
    });
}

// fromBytes(typedArray, dtype, numberOfDims) with the sizes in args: copies the array's bytes into a new
// tensor.
Napi::Value Addon::fromBytes(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const ArrayMemory source = memoryOf(info[0], "tensor");
        const uint32_t code = info[1].As<Napi::Number>().Uint32Value();
        CHECK(code < kDTypeCount, ErrorKind::DType, "tensor: unknown dtype");
        const auto dtype = static_cast<DType>(code);
        const uint32_t count = info[2].As<Napi::Number>().Uint32Value();
        Dims sizes;
        for (uint32_t i = 0; i < count; i++) {
            const double size = arguments_.data()[i];
            CHECK_SHAPE(size >= 0 && size == std::floor(size) && size < 9e15, "tensor: ", size,
                        " is not a size");
            sizes.push(static_cast<int64_t>(size));
        }
        Tensor tensor = context_->empty(dtype, sizes, true);
        CHECK_SHAPE(tensor.bytes() == source.bytes, "tensor: shape ", sizes.toString(), " of ",
                    dtypeName(dtype), " takes ", tensor.bytes(), " bytes, the array has ", source.bytes);
        if (tensor.bytes() > 0) std::memcpy(tensor.data(), source.data, tensor.bytes());
        return Napi::Number::New(info.Env(), slots_.add(std::move(tensor)));
    });
}

void Addon::enqueueRead(const Tensor& tensor, const Napi::Value& array) {
    const ArrayMemory target = memoryFor(tensor, array);
    if (tensor.bytes() == 0) return;
    View out;
    out.data = target.data;
    out.dtype = tensor.dtype();
    out.sizes = tensor.sizes();
    out.strides = contiguousStrides(tensor.sizes());
    const Unrecorded pause(*context_);
    cpu::copy(*context_, out, tensor);
}

template <typename Done>
void Addon::enqueueDownload(const Tensor& tensor, const Napi::Value& array, Done done) {
    const ArrayMemory target = memoryFor(tensor, array);
    const OnDevice here(*context_, tensor.device());
    const Unrecorded pause(*context_);
    const Tensor source = ops::contiguous(*context_, tensor);
    context_->stream().enqueueOnce("read", [this, runtime = context_->openRuntime(tensor.device()),
                                            from = source.data(), to = target.data, bytes = source.bytes(),
                                            done] {
        std::exception_ptr earlier = context_->stream().takePendingError();
        runtime->download(to, from, bytes,
                          [earlier, done](std::exception_ptr failure) { done(earlier ? earlier : failure); });
    });
}

void Addon::readSync(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const Tensor& tensor = slots_.get(info[0].As<Napi::Number>().DoubleValue());
        if (!tensor.device().isCpu() && tensor.bytes() > 0) {
            const ArrayMemory target = memoryFor(tensor, info[1]);
            const OnDevice here(*context_, tensor.device());
            const Unrecorded pause(*context_);
            const Tensor source = ops::contiguous(*context_, tensor);
            context_->stream().enqueueOnce(
                "read", [runtime = context_->openRuntime(tensor.device()), from = source.data(),
                         to = target.data, bytes = source.bytes()] { runtime->read(to, from, bytes); });
            // A step of a small model takes about as long as being woken does.
            context_->stream().waitBriefly(std::chrono::microseconds(300));
        } else {
            enqueueRead(tensor, info[1]);
        }
        context_->stream().wait();
        context_->stream().throwPendingError();
    });
}

// From any thread.
void Addon::announce(PendingRead* read) {
    if (readsClosed_) return;
    read->took = std::chrono::steady_clock::now() - read->start;
    readsClosed_ = napi_call_threadsafe_function(readDone_, read, napi_tsfn_nonblocking) != napi_ok;
}

// True if the values are there.
bool Addon::readFromDevice(const Napi::CallbackInfo& info, const Tensor& tensor) {
    auto owned = std::make_unique<PendingRead>();
    PendingRead* const read = owned.get();
    read->start = std::chrono::steady_clock::now();
    enqueueDownload(tensor, info[1], [this, read](std::exception_ptr failure) {
        read->error = failure;
        if (read->state.exchange(ReadState::Arrived) == ReadState::WantsCall) announce(read);
    });
    const auto end =
        read->start + (info[2].As<Napi::Boolean>().Value() ? patience() : std::chrono::nanoseconds(0));
    while (read->state.load() == ReadState::Waiting && std::chrono::steady_clock::now() < end) {
    }
    if (read->state.load() == ReadState::Waiting) {
        read->target = Napi::Persistent(info[1].As<Napi::Object>());
        read->done = Napi::Persistent(info[3].As<Napi::Function>());
        if (reads_.empty()) napi_ref_threadsafe_function(info.Env(), readDone_);
        reads_.insert(owned.release());
        if (read->state.exchange(ReadState::WantsCall) == ReadState::Arrived) announce(read);
        return false;
    }
    readTook_ = std::chrono::steady_clock::now() - read->start;
    if (read->error) std::rethrow_exception(read->error);
    return true;
}

// readAsync(handle, typedArray, patient, done): true if the values are there already, and `done` will not be
// called. Small models take less time for a step than the way back through the event loop does.
Napi::Value Addon::readAsync(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const Tensor& tensor = slots_.get(info[0].As<Napi::Number>().DoubleValue());
        // All that can be wrong is found before the engine has the array.
        const bool patient = info[2].As<Napi::Boolean>().Value();
        const Napi::Function done = functionOf(info[3]);
        if (!tensor.device().isCpu() && tensor.bytes() > 0)
            return Napi::Boolean::New(info.Env(), readFromDevice(info, tensor));
        enqueueRead(tensor, info[1]);
        const auto start = std::chrono::steady_clock::now();
        if (patient && context_->stream().waitBriefly(patience())) {
            readTook_ = std::chrono::steady_clock::now() - start;
            context_->stream().throwPendingError();
            return Napi::Boolean::New(info.Env(), true);
        }
        auto read = std::make_unique<PendingRead>();
        read->start = start;
        read->target = Napi::Persistent(info[1].As<Napi::Object>());
        read->done = Napi::Persistent(done);
        if (reads_.empty()) napi_ref_threadsafe_function(info.Env(), readDone_);
        reads_.insert(read.get());
        context_->stream().enqueueOnce("read", [this, pending = read.release()] {
            pending->error = context_->stream().takePendingError();
            announce(pending);
        });
        return Napi::Boolean::New(info.Env(), false);
    });
}

void Addon::synchronize(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] { context_->synchronize(); });
}

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

void Addon::manualSeed(const Napi::CallbackInfo& info) {
    bool lossless = true;
    const uint64_t seed = info[0].As<Napi::BigInt>().Uint64Value(&lossless);
    context_->stream().enqueueOnce("manual_seed", [this, seed] { context_->generator().manualSeed(seed); });
}

Napi::Value Addon::generatorState(const Napi::CallbackInfo& info) {
    context_->stream().wait();
    const std::vector<uint8_t> state = context_->generator().state();
    auto bytes = Napi::Uint8Array::New(info.Env(), state.size());
    std::memcpy(bytes.Data(), state.data(), state.size());
    return bytes;
}

void Addon::setGeneratorState(const Napi::CallbackInfo& info) {
    guarded(info.Env(), [&] {
        const auto bytes = info[0].As<Napi::Uint8Array>();
        context_->stream().wait();
        context_->generator().setState(bytes.Data(), bytes.ByteLength());
    });
}

// True when other tensors look at the same memory.
Napi::Value Addon::sharesStorage(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
        const Tensor& tensor = slots_.get(info[0].As<Napi::Number>().DoubleValue());
        return Napi::Boolean::New(info.Env(), tensor.storage()->references() > 1);
    });
}

Napi::Value Addon::buildInfo(const Napi::CallbackInfo& info) {
    const dnnl_version_t* version = dnnl_version();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("onednn", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                             std::to_string(version->patch));
    result.Set("compiler", __VERSION__);
    result.Set("threads", omp_get_max_threads());
    const picture::JpegLibraryInfo jpeg = picture::jpegLibraryInfo();
    result.Set("jpegFound", jpeg.found);
    result.Set("jpeg", jpeg.text);
    return result;
}

void Addon::setProfiling(const Napi::CallbackInfo& info) {
    context_->stream().setProfiling(info[0].As<Napi::Boolean>().Value());
}

Napi::Value Addon::profile(const Napi::CallbackInfo& info) {
    Napi::Array result = Napi::Array::New(info.Env());
    for (const auto& [op, time] : context_->stream().profile()) {
        Napi::Object entry = Napi::Object::New(info.Env());
        entry.Set("op", op);
        entry.Set("count", static_cast<double>(time.count));
        entry.Set("seconds", time.seconds);
        result.Set(result.Length(), entry);
    }
    return result;
}

// The team belongs to the engine thread, hence through the queue.
void Addon::setThreads(const Napi::CallbackInfo& info) {
    const double asked = info[0].As<Napi::Number>().DoubleValue();
    // OpenMP's library ends the process where it cannot start a thread.
    const int most = std::max(64, omp_get_num_procs());
    if (!(asked >= 1 && asked <= most && asked == std::floor(asked)))
        throw Napi::RangeError::New(info.Env(), "expected 1 to " + std::to_string(most) + " threads");
    const int count = static_cast<int>(asked);
    context_->stream().enqueueOnce("set_threads", [count] { omp_set_num_threads(count); });
    omp_set_num_threads(count);
}

}  // namespace

}  // namespace anneal::binding

using anneal::binding::Addon;
NODE_API_ADDON(Addon)
