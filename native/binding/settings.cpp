// Random numbers, threads, profiles, and what the engine was built of.
#include <omp.h>

#include <cmath>
#include <cstring>

#include "binding/addon.h"
#include "cpu/onednn.h"
#include "picture/jpeg.h"

namespace anneal::binding {

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
    for (const Stream::OpTime& time : context_->stream().profile()) {
        Napi::Object entry = Napi::Object::New(info.Env());
        entry.Set("op", time.op);
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

}  // namespace anneal::binding
