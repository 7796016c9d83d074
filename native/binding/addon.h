#pragma once

// The Node-API shell: hands numbers across, keeps the table of tensors, turns failures into errors.
#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL  // one that leaves a call ends the process
#include <napi.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "binding/pictures.h"
#include "binding/tensor_slots.h"
#include "core/allocator.h"
#include "core/context.h"
#include "core/device_runtime.h"
#include "core/recording.h"

namespace anneal::binding {

constexpr size_t kArgumentSlots = 32768;
constexpr size_t kResultSlots = 4096;
constexpr size_t kReleaseSlots = 1024;

// Numbers that both sides write into. JavaScript may give the array away (to another thread, say) and lose
// it: the memory stays, for as long as either side has it.
template <typename Number>
class SharedNumbers {
  public:
    template <typename Array>
    Array open(Napi::Env env, size_t count) {
        memory_ = std::make_shared<std::vector<Number>>(count);
        auto held = std::make_unique<std::shared_ptr<std::vector<Number>>>(memory_);
        const auto buffer = Napi::ArrayBuffer::New(
            env, memory_->data(), count * sizeof(Number),
            [](Napi::BasicEnv, void*, std::shared_ptr<std::vector<Number>>* hint) { delete hint; },
            held.get());
        // From here on the buffer's, even if no array can be made of it because the worker is being ended.
        held.release();
        return Array::New(env, count, buffer, 0);
    }
    Number* data() const { return memory_->data(); }

  private:
    std::shared_ptr<std::vector<Number>> memory_;
};

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
    static napi_value describe(napi_env env, napi_callback_info info);
    static napi_value sharesStorage(napi_env env, napi_callback_info info);
    static napi_value canStandFor(napi_env env, napi_callback_info info);

    // Frees the tensors whose handles JavaScript has put into `released`: the number of them, then they.
    // Whatever it calls begins with this, so that freeing takes no call of its own.
    void releasePending();
    // Writes of a tensor what `describe` tells, and (in the last slot) whose description it is.
    void writeDescription(double handle);

    Napi::Value takeError(const Napi::CallbackInfo& info);
    void flushReleased(const Napi::CallbackInfo& info);
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
    // The same for plain Node-API calls.
    template <typename Body>
    napi_value guardedPlain(napi_env env, const Body& body);
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
    SharedNumbers<int32_t> released_;
    std::string errorMessage_;
    int errorKind_ = 0;
    TensorList scratchResults_;
    napi_threadsafe_function readDone_ = nullptr;
    std::unordered_set<PendingRead*> reads_;  // JavaScript thread only
    std::chrono::nanoseconds readTook_{0};    // by the last read, until its values were there
    std::atomic<bool> readsClosed_{false};    // the environment is being torn down
    int64_t reportedBytes_ = 0;
    int64_t collectedBytes_ = 0;                                     // freed since by V8's collection
    std::optional<std::chrono::steady_clock::time_point> lowSince_;  // below what was reported
};

template <typename Body>
auto Addon::guarded(Napi::Env env, const Body& body) -> decltype(body()) {
    try {
        releasePending();
        return body();
    } catch (const Napi::Error&) {
        throw;
    } catch (const std::exception& failure) {
        throw toError(env, failure);
    }
}

template <typename Body>
napi_value Addon::guardedPlain(napi_env env, const Body& body) {
    try {
        return guarded(env, body);
    } catch (const Napi::Error& error) {
        error.ThrowAsJavaScriptException();
        return nullptr;
    }
}

}  // namespace anneal::binding
