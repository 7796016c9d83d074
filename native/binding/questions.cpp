// What is asked about a tensor, in plain Node-API: small steps ask often.
#include <array>

#include "binding/addon.h"

namespace anneal::binding {

namespace {

// Whether nobody else holds the tensor's memory, and it has the other's dtype and order.
bool standsFor(const Tensor& tensor, const Tensor& other) {
    bool fits = tensor.storage()->references() == 1 && tensor.dtype() == other.dtype() &&
                tensor.dims() == other.dims();
    for (int i = 0; fits && i < tensor.dims(); i++) {
        fits = tensor.sizes()[i] == other.sizes()[i] &&
               (tensor.sizes()[i] == 1 || tensor.strides()[i] == other.strides()[i]);
    }
    return fits;
}

// The first `Count` arguments as handles: 0, which is nobody's, for what is no number.
template <size_t Count>
std::array<double, Count> handlesOf(napi_env env, napi_callback_info info, void** addon) {
    size_t count = Count;
    napi_value values[Count];
    napi_get_cb_info(env, info, &count, values, nullptr, addon);
    std::array<double, Count> handles{};
    for (size_t i = 0; i < Count; i++) napi_get_value_double(env, values[i], &handles[i]);
    return handles;
}

napi_value toValue(napi_env env, bool answer) {
    napi_value result;
    napi_get_boolean(env, answer, &result);
    return result;
}

}  // namespace

// From slot 1: dtype, number of dimensions, sizes, strides, offset, device.
void Addon::writeDescription(double handle) {
    const Tensor& tensor = slots_.get(handle);
    double* const results = results_.data();
    double* out = results + 1;
    *out++ = static_cast<double>(tensor.dtype());
    *out++ = tensor.dims();
    for (int64_t size : tensor.sizes()) *out++ = static_cast<double>(size);
    for (int64_t stride : tensor.strides()) *out++ = static_cast<double>(stride);
    *out++ = static_cast<double>(tensor.offset());
    *out++ = tensor.device().number();
    results[kResultSlots - 1] = handle;
}

napi_value Addon::describe(napi_env env, napi_callback_info info) {
    void* self;
    const double handle = handlesOf<1>(env, info, &self)[0];
    auto& addon = *static_cast<Addon*>(self);
    return addon.guardedPlain(env, [&]() -> napi_value {
        addon.writeDescription(handle);
        return nullptr;
    });
}

// Whether other tensors look at the same memory.
napi_value Addon::sharesStorage(napi_env env, napi_callback_info info) {
    void* self;
    const double handle = handlesOf<1>(env, info, &self)[0];
    auto& addon = *static_cast<Addon*>(self);
    return addon.guardedPlain(
        env, [&] { return toValue(env, addon.slots_.get(handle).storage()->references() > 1); });
}

napi_value Addon::canStandFor(napi_env env, napi_callback_info info) {
    void* self;
    const auto handles = handlesOf<2>(env, info, &self);
    auto& addon = *static_cast<Addon*>(self);
    return addon.guardedPlain(env, [&] {
        return toValue(env, standsFor(addon.slots_.get(handles[0]), addon.slots_.get(handles[1])));
    });
}

}  // namespace anneal::binding
