#define NODE_ADDON_API_CPP_EXCEPTIONS_ALL  // one that leaves a call ends the process
#include "binding/pictures.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/error.h"
#include "picture/file.h"
#include "picture/jpeg.h"
#include "picture/resample.h"
#include "picture/warp.h"

namespace anneal::binding {

namespace {

// As many as Plan has fields.
constexpr size_t kPlanSlots = 14;

picture::Plan toPlan(const Napi::Value& value) {
    const Napi::Env env = value.Env();
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_float64_array ||
        value.As<Napi::TypedArray>().ElementLength() != kPlanSlots)
        throw Napi::TypeError::New(env, "a plan is a Float64Array of 14 numbers");
    const double* slots = value.As<Napi::Float64Array>().Data();
    const auto whole = [&](int slot) {
        const double number = slots[slot];
        if (!(number >= 0 && number <= 1e9 && number == std::floor(number)))
            throw Napi::RangeError::New(env, "a plan has a size or place that is no whole number");
        return static_cast<int64_t>(number);
    };
    picture::Plan plan;
    plan.width = whole(0);
    plan.height = whole(1);
    plan.left = slots[2];
    plan.top = slots[3];
    plan.boxWidth = slots[4];
    plan.boxHeight = slots[5];
    plan.targetWidth = whole(6);
    plan.targetHeight = whole(7);
    plan.windowLeft = whole(8);
    plan.windowTop = whole(9);
    plan.windowWidth = whole(10);
    plan.windowHeight = whole(11);
    plan.flipX = slots[12] != 0;
    plan.flipY = slots[13] != 0;
    if (!plan.valid()) throw Napi::RangeError::New(env, "a plan has a window outside its picture");
    return plan;
}

struct Bytes {
    uint8_t* data;
    size_t count;
};

Bytes toBytes(const Napi::Value& value) {
    if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array)
        throw Napi::TypeError::New(value.Env(), "pixels and files are a Uint8Array");
    auto array = value.As<Napi::Uint8Array>();
    return {array.Data(), array.ByteLength()};
}

Bytes toTarget(const Napi::Value& value, const picture::Plan& plan) {
    const Bytes out = toBytes(value);
    if (out.count != static_cast<size_t>(plan.bytes()))
        throw Napi::RangeError::New(value.Env(), "the array does not have the size of the plan's result");
    return out;
}

Napi::FunctionReference toDone(const Napi::Value& value) {
    if (!value.IsFunction()) throw Napi::TypeError::New(value.Env(), "expected a function to be told");
    return Napi::Persistent(value.As<Napi::Function>());
}

// Where a picture comes from. Bytes of JavaScript's are copied: they may be changed or moved away meanwhile.
struct Source {
    std::string path;
    std::vector<uint8_t> bytes;

    explicit Source(const Napi::Value& value) {
        if (value.IsString()) {
            path = value.As<Napi::String>().Utf8Value();
            return;
        }
        const Bytes given = toBytes(value);
        bytes.assign(given.data, given.data + given.count);
    }
};

// Calls `body` with what the source holds, at least its first `most` bytes (0: all), unless it cannot be
// read.
template <typename Body>
void withBytes(const Source& source, size_t most, const Body& body) {
    if (source.path.empty()) {
        body(source.bytes, source.bytes.size());
        return;
    }
    thread_local std::vector<uint8_t> bytes;
    size_t total = 0;
    if (source.path.find('\0') == std::string::npos && picture::readJpegFile(source.path, most, bytes, total))
        body(bytes, total);
    constexpr size_t kKept = size_t{8} << 20;
    if (bytes.capacity() > kKept) bytes = {};
}

}  // namespace

struct Pictures::Job {
    Napi::FunctionReference done;
    // Arrays that the job reads and writes.
    Napi::ObjectReference in, out;
    std::function<void(Job&)> work;
    // At most `limit` jobs of a lane run at a time; lane 0 has no limit.
    int lane = 0;
    size_t limit = 1;

    void join(const Napi::Value& laneNumber, const Napi::Value& laneLimit) {
        if (!laneNumber.IsNumber() || !laneLimit.IsNumber()) return;
        lane = laneNumber.As<Napi::Number>().Int32Value();
        limit = std::max<uint32_t>(1, laneLimit.As<Napi::Number>().Uint32Value());
    }
    // What `done` is told.
    bool good = false;
    bool isSize = false;
    picture::PictureSize size;
};

Pictures::Pictures(Napi::Env env, Napi::Object exports)
    : env_(env), pool_(std::make_unique<picture::ThreadPool>()) {
    const auto add = [&](const char* name, void (Pictures::*method)(const Napi::CallbackInfo&)) {
        exports.Set(
            name, Napi::Function::New(
                      env, [this, method](const Napi::CallbackInfo& info) { (this->*method)(info); }, name));
    };
    add("pictureSize", &Pictures::size);
    add("decodePicture", &Pictures::decode);
    add("resamplePicture", &Pictures::resample);
    add("warpPicture", &Pictures::warp);

    napi_value name;
    napi_create_string_utf8(env, "anneal.picture", NAPI_AUTO_LENGTH, &name);
    napi_create_threadsafe_function(
        env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
        [](napi_env rawEnv, napi_value, void* self, void* job) {
            if (!rawEnv) return;  // close() sees to the job
            static_cast<Pictures*>(self)->finish(rawEnv, static_cast<Job*>(job));
        },
        &done_);
    napi_unref_threadsafe_function(env, done_);
    // Hooks run from the last to the first: this one while done_ can still be called.
    napi_add_env_cleanup_hook(
        env, [](void* self) { static_cast<Pictures*>(self)->close(); }, this);
}

Pictures::~Pictures() {
    halt();
    for (Job* job : running_) delete job;
}

void Pictures::close() {
    halt();
    napi_release_threadsafe_function(done_, napi_tsfn_abort);
}

void Pictures::start(Napi::Env env, std::unique_ptr<Job> job) {
    if (!pool_) throw Napi::Error::New(env, "the environment is being torn down");
    Job* const pending = job.get();
    const auto work = [this, pending] {
        try {
            pending->work(*pending);
        } catch (const std::exception&) {
            pending->good = false;  // out of memory
        }
        napi_call_threadsafe_function(done_, pending, napi_tsfn_nonblocking);
    };
    try {
        pool_->run(work, pending->lane, pending->limit);
    } catch (const std::exception& failure) {
        // The system gives no thread: what it lacks is memory.
        Napi::Error error = Napi::Error::New(env, std::string("no thread for a picture: ") + failure.what());
        error.Set("kind", Napi::Number::New(env, static_cast<int>(ErrorKind::OutOfMemory)));
        throw error;
    }
    running_.insert(job.release());
    if (running_.size() == 1) napi_ref_threadsafe_function(env, done_);
}

void Pictures::finish(Napi::Env env, Job* job) {
    if (running_.erase(job) == 0) return;
    const std::unique_ptr<Job> owned(job);
    if (running_.empty()) napi_unref_threadsafe_function(env, done_);
    const Napi::HandleScope scope(env);
    try {
        std::vector<napi_value> values;
        if (job->isSize) {
            values = {Napi::Number::New(env, static_cast<double>(job->size.width)),
                      Napi::Number::New(env, static_cast<double>(job->size.height))};
        } else {
            values = {Napi::Boolean::New(env, job->good)};
        }
        job->done.MakeCallback(env.Global(), values);
    } catch (const Napi::Error& error) {
        napi_fatal_exception(env, error.Value());
    }
}

void Pictures::size(const Napi::CallbackInfo& info) {
    auto job = std::make_unique<Job>();
    job->isSize = true;
    job->work = [source = Source(info[0])](Job& self) {
        // Where the size is not among these, a large preview or profile comes before it.
        constexpr size_t kFirst = 65536;
        for (const size_t most : {kFirst, size_t{0}}) {
            bool sawAll = true;
            withBytes(source, most, [&](const std::vector<uint8_t>& bytes, size_t total) {
                if (const auto found = picture::jpegSize(bytes.data(), bytes.size())) self.size = *found;
                sawAll = bytes.size() == total;
            });
            if (self.size.width > 0 || sawAll) return;
        }
    };
    job->done = toDone(info[1]);
    job->join(info[2], info[3]);
    start(info.Env(), std::move(job));
}

void Pictures::decode(const Napi::CallbackInfo& info) {
    const picture::Plan plan = toPlan(info[1]);
    const Bytes out = toTarget(info[2], plan);
    const auto isWhole = [](double value) { return value == std::floor(value); };
    if (!isWhole(plan.left) || !isWhole(plan.top) || !isWhole(plan.boxWidth) || !isWhole(plan.boxHeight))
        throw Napi::RangeError::New(info.Env(), "a picture that is not decoded is cut at whole pixels");
    auto job = std::make_unique<Job>();
    job->work = [source = Source(info[0]), plan, out](Job& self) {
        withBytes(source, 0, [&](const std::vector<uint8_t>& bytes, size_t) {
            self.good = picture::decodeJpeg(bytes.data(), bytes.size(), plan, out.data);
        });
    };
    job->out = Napi::Persistent(info[2].As<Napi::Object>());
    job->done = toDone(info[3]);
    job->join(info[4], info[5]);
    start(info.Env(), std::move(job));
}

void Pictures::resample(const Napi::CallbackInfo& info) {
    const picture::Plan plan = toPlan(info[1]);
    const Bytes in = toBytes(info[0]), out = toTarget(info[2], plan);
    if (in.count != static_cast<size_t>(plan.width * plan.height * picture::kChannels))
        throw Napi::RangeError::New(info.Env(), "the pixels do not have the size that the plan gives");
    if (!info[3].IsFunction()) {
        picture::resamplePicture(in.data, plan, out.data);
        return;
    }
    auto job = std::make_unique<Job>();
    job->work = [in, plan, out](Job& self) {
        picture::resamplePicture(in.data, plan, out.data);
        self.good = true;
    };
    job->in = Napi::Persistent(info[0].As<Napi::Object>());
    job->out = Napi::Persistent(info[2].As<Napi::Object>());
    job->done = toDone(info[3]);
    start(info.Env(), std::move(job));
}

void Pictures::warp(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const Bytes in = toBytes(info[0]), out = toBytes(info[5]);
    if (!info[1].IsTypedArray() || info[1].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array ||
        info[1].As<Napi::TypedArray>().ElementLength() != picture::kPlacementSlots)
        throw Napi::TypeError::New(env, "a placement is a Float64Array of 16 numbers");
    const auto placement = picture::Placement::read(info[1].As<Napi::Float64Array>().Data());
    const bool nearest = info[2].ToBoolean();
    const int64_t width = info[3].ToNumber().Int64Value(), height = info[4].ToNumber().Int64Value();
    const bool sized = width > 0 && height > 0 && width <= picture::kMaxSide && height <= picture::kMaxSide;
    if (!sized || out.count != static_cast<size_t>(width * height * picture::kChannels))
        throw Napi::RangeError::New(env, "the array does not have the size of the result");
    if (!placement.fits(static_cast<int64_t>(in.count)))
        throw Napi::RangeError::New(env, "the placement lies outside the pixels");
    const auto run = [=] {
        picture::warpRows(in.data, placement, nullptr, nearest, width, 0, height, out.data);
    };
    if (!info[6].IsFunction()) return run();
    auto job = std::make_unique<Job>();
    job->work = [run](Job& self) {
        run();
        self.good = true;
    };
    job->in = Napi::Persistent(info[0].As<Napi::Object>());
    job->out = Napi::Persistent(info[5].As<Napi::Object>());
    job->done = toDone(info[6]);
    start(env, std::move(job));
}

}  // namespace anneal::binding
