// Values from JavaScript's arrays into tensors, and back: at once, or as the event loop gets to it.
#include <cmath>
#include <cstring>

#include "binding/addon.h"
#include "core/kernels.h"
#include "core/ops.h"

namespace anneal::binding {

namespace {

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

}  // namespace

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
        const int32_t handle = slots_.add(std::move(tensor));
        writeDescription(handle);
        return Napi::Number::New(info.Env(), handle);
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
        if (!tensor.device().isCpu()) {
            const ArrayMemory target = memoryFor(tensor, info[1]);
            const OnDevice here(*context_, tensor.device());
            const Unrecorded pause(*context_);
            const Tensor source = ops::contiguous(*context_, tensor);
            context_->stream().enqueueOnce(
                "read", [runtime = context_->openRuntime(tensor.device()), from = source.data(),
                         to = target.data, bytes = source.bytes()] { runtime->read(to, from, bytes); });
            // A step of a small model takes about as long as being woken does.
            context_->stream().waitBriefly(300'000);
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
        if (!tensor.device().isCpu()) return Napi::Boolean::New(info.Env(), readFromDevice(info, tensor));
        enqueueRead(tensor, info[1]);
        const auto start = std::chrono::steady_clock::now();
        if (patient && context_->stream().waitBriefly(patience().count())) {
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

}  // namespace anneal::binding
