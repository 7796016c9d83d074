#pragma once

// The one place that knows which oneDNN this is: 2.x describes an operation with a `desc` object first, 3.x
// builds the primitive descriptor directly. Everything here runs on the engine thread.
#include <cstdint>
#include <cstring>
#include <list>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/tensor.h"
#include "cpu/scratch.h"

namespace anneal::cpu::onednn {

using dnnl::memory;

dnnl::engine& engine();
dnnl::stream& stream();

memory::data_type dataType(DType dtype);

// Whether this processor computes in bfloat16 at all, and whether it does so in matrix units (AMX), many
// times faster than in float32.
bool hasBFloat16();
bool hasMatrixUnits();

inline dnnl::primitive_attr userScratchpad() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    return attributes;
}

// What makes two calls the same primitive: kind, dtypes and geometry, as plain numbers.
using Key = std::vector<int64_t>;
struct KeyHash {
    size_t operator()(const Key& key) const {
        uint64_t hash = 1469598103934665603ULL;
        for (int64_t value : key) hash = (hash ^ static_cast<uint64_t>(value)) * 1099511628211ULL;
        return static_cast<size_t>(hash);
    }
};

// The latest `capacity` entries by key. Shapes may be new in every call, as of pictures in their own sizes,
// and a primitive has some 50 KB of code; as many as oneDNN itself keeps are more than the largest networks
// have.
template <typename Entry>
class Cache {
  public:
    explicit Cache(size_t capacity = 1024) : capacity_(capacity) {}

    // `make()` gives the entry that is not there. It stays at least until the next call.
    template <typename Make>
    Entry& get(const Key& key, const Make& make) {
        if (const auto found = places_.find(key); found != places_.end()) {
            entries_.splice(entries_.begin(), entries_, found->second);
            return *entries_.front().second;
        }
        std::unique_ptr<Entry> made = make();
        if (entries_.size() >= capacity_) {
            places_.erase(entries_.back().first);
            entries_.pop_back();
        }
        entries_.emplace_front(key, std::move(made));
        places_.emplace(key, entries_.begin());
        return *entries_.front().second;
    }

    size_t size() const { return entries_.size(); }

  private:
    using Entries = std::list<std::pair<Key, std::unique_ptr<Entry>>>;  // the latest first
    size_t capacity_;
    Entries entries_;
    std::unordered_map<Key, typename Entries::iterator, KeyHash> places_;
};

struct ConvDescriptors {
    memory::desc source, weight, bias, target;  // a zero descriptor as bias means none
    memory::desc forwardWeight;                 // as the forward convolution of a weight gradient reads them
    memory::dims stride, dilation, padding, paddingAfter;
    dnnl::post_ops after;  // of a forward convolution
};

inline dnnl::primitive_attr forwardAttributes(const ConvDescriptors& d) {
    dnnl::primitive_attr attributes = userScratchpad();
    attributes.set_post_ops(d.after);
    return attributes;
}

#if DNNL_VERSION_MAJOR >= 3

inline void appendRelu(dnnl::post_ops& ops) { ops.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0); }

// A reorder that multiplies by a number for each place in the first dimension, given as kFactors at
// execution.
constexpr int kFactors = DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC;
inline dnnl::primitive_attr withFactors() {
    dnnl::primitive_attr attributes;
    attributes.set_scales_mask(DNNL_ARG_SRC, 1);
    return attributes;
}

inline bool hasBias(const ConvDescriptors& d) { return d.bias.get_ndims() != 0; }

inline dnnl::convolution_forward::primitive_desc forwardDescriptor(const ConvDescriptors& d) {
    const auto kind = dnnl::prop_kind::forward_training;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    if (hasBias(d)) {
        return {engine(), kind,     algorithm,  d.source,  d.weight,       d.bias,
                d.target, d.stride, d.dilation, d.padding, d.paddingAfter, forwardAttributes(d)};
    }
    return {
        engine(),  kind,           algorithm,           d.source, d.weight, d.target, d.stride, d.dilation,
        d.padding, d.paddingAfter, forwardAttributes(d)};
}

inline dnnl::convolution_backward_data::primitive_desc backwardDataDescriptor(const ConvDescriptors& d) {
    ConvDescriptors plain = d;
    plain.bias = memory::desc();
    return {engine(),        dnnl::algorithm::convolution_direct,
            d.source,        d.weight,
            d.target,        d.stride,
            d.dilation,      d.padding,
            d.paddingAfter,  forwardDescriptor(plain),
            userScratchpad()};
}

inline dnnl::convolution_backward_weights::primitive_desc backwardWeightsDescriptor(
    const ConvDescriptors& d) {
    const auto algorithm = dnnl::algorithm::convolution_direct;
    ConvDescriptors hint = d;
    hint.weight = d.forwardWeight;
    if (hasBias(d)) {
        return {engine(),
                algorithm,
                d.source,
                d.weight,
                d.bias,
                d.target,
                d.stride,
                d.dilation,
                d.padding,
                d.paddingAfter,
                forwardDescriptor(hint),
                userScratchpad()};
    }
    return {engine(),        algorithm,  d.source,  d.weight,       d.target,
            d.stride,        d.dilation, d.padding, d.paddingAfter, forwardDescriptor(hint),
            userScratchpad()};
}

inline dnnl::matmul::primitive_desc matmulDescriptor(const memory::desc& a, const memory::desc& b,
                                                     const memory::desc& c, const memory::desc* bias) {
    if (bias) return {engine(), a, b, *bias, c, userScratchpad()};
    return {engine(), a, b, c, userScratchpad()};
}

#else

inline void appendRelu(dnnl::post_ops& ops) { ops.append_eltwise(1, dnnl::algorithm::eltwise_relu, 0, 0); }

constexpr int kFactors = DNNL_ARG_ATTR_OUTPUT_SCALES;
inline dnnl::primitive_attr withFactors() {
    dnnl::primitive_attr attributes;
    attributes.set_output_scales(1, {DNNL_RUNTIME_F32_VAL});
    return attributes;
}

inline bool hasBias(const ConvDescriptors& d) { return d.bias.data.ndims != 0; }

inline dnnl::convolution_forward::primitive_desc forwardDescriptor(const ConvDescriptors& d) {
    const auto kind = dnnl::prop_kind::forward_training;
    const auto algorithm = dnnl::algorithm::convolution_direct;
    if (hasBias(d)) {
        return {{kind, algorithm, d.source, d.weight, d.bias, d.target, d.stride, d.dilation, d.padding,
                 d.paddingAfter},
                forwardAttributes(d),
                engine()};
    }
    return {{kind, algorithm, d.source, d.weight, d.target, d.stride, d.dilation, d.padding, d.paddingAfter},
            forwardAttributes(d),
            engine()};
}

inline dnnl::convolution_backward_data::primitive_desc backwardDataDescriptor(const ConvDescriptors& d) {
    ConvDescriptors plain = d;
    plain.bias = memory::desc();
    return {{dnnl::algorithm::convolution_direct, d.source, d.weight, d.target, d.stride, d.dilation,
             d.padding, d.paddingAfter},
            userScratchpad(),
            engine(),
            forwardDescriptor(plain)};
}

inline dnnl::convolution_backward_weights::primitive_desc backwardWeightsDescriptor(
    const ConvDescriptors& d) {
    const auto algorithm = dnnl::algorithm::convolution_direct;
    ConvDescriptors hint = d;
    hint.weight = d.forwardWeight;
    if (hasBias(d)) {
        return {{algorithm, d.source, d.weight, d.bias, d.target, d.stride, d.dilation, d.padding,
                 d.paddingAfter},
                userScratchpad(),
                engine(),
                forwardDescriptor(hint)};
    }
    return {{algorithm, d.source, d.weight, d.target, d.stride, d.dilation, d.padding, d.paddingAfter},
            userScratchpad(),
            engine(),
            forwardDescriptor(hint)};
}

inline dnnl::matmul::primitive_desc matmulDescriptor(const memory::desc& a, const memory::desc& b,
                                                     const memory::desc& c, const memory::desc* bias) {
    if (bias) return {{a, b, *bias, c}, userScratchpad(), engine()};
    return {{a, b, c}, userScratchpad(), engine()};
}

#endif

// Row-major c = alpha a b + beta c in float32, on the team.
inline void sgemm(char transposeA, char transposeB, int64_t m, int64_t n, int64_t k, float alpha,
                  const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                  int64_t ldc) {
    const dnnl::status status = static_cast<dnnl::status>(
        dnnl_sgemm(transposeA, transposeB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc));
    CHECK(status == dnnl::status::success, ErrorKind::Kernel, "oneDNN's sgemm failed with status ",
          static_cast<int>(status));
}

}  // namespace anneal::cpu::onednn
