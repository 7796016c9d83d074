// The part of cuDNN that native/cuda calls: convolution of channels-last pictures by plain loops.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "core/half.h"
#include "cuda/conv_plans.h"
#include "libraries.h"

using namespace anneal;
using namespace anneal::cuda;

namespace anneal::cuda::dnn {

struct DnnContext {};

}  // namespace anneal::cuda::dnn

namespace {

using namespace anneal::cuda::dnn;

constexpr Status kBadParameter = Status(2000), kNotSupported = Status(3000);

size_t version() { return 90000; }
const char* errorString(Status status) { return status == kBadParameter ? "bad parameter" : "not supported"; }
Status create(Handle* made) {
    *made = new DnnContext{};
    return kSuccess;
}
Status destroy(Handle handle) {
    delete handle;
    return kSuccess;
}
Status setStream(Handle, cudaStream_t) { return kSuccess; }

// What was said of a descriptor, by attribute.
struct Operation;

struct Described {
    Kind kind;
    std::map<int, std::vector<char>> values;
    std::shared_ptr<Operation> operation;  // a plan's: the rest may be gone when it is run

    template <typename T>
    T get(int attribute, size_t i = 0) const {
        T value{};
        const auto found = values.find(attribute);
        if (found == values.end() || found->second.size() < (i + 1) * sizeof(T)) std::abort();
        std::memcpy(&value, found->second.data() + i * sizeof(T), sizeof(T));
        return value;
    }
    const Described& node(int attribute, size_t i = 0) const {
        return *static_cast<const Described*>(get<Descriptor>(attribute, i));
    }
};

Described& of(Descriptor descriptor) { return *static_cast<Described*>(descriptor); }

size_t sizeOf(ValueType type) {
    switch (type) {
        case kInt64:
        case kHandleValue:
        case kPointer:
        case kDescriptor:
            return 8;
        default:
            return 4;
    }
}

struct TensorInfo {
    DataType type;
    int sizes[4];
    bool channelsLast;
};
TensorInfo tensorOf(const Described& tensor) {
    TensorInfo info{tensor.get<DataType>(kTensorType), {}, true};
    int64_t step = 1;
    for (int i : {1, 3, 2, 0}) {
        info.sizes[i] = static_cast<int>(tensor.get<int64_t>(kDimensions, static_cast<size_t>(i)));
        info.channelsLast =
            info.channelsLast && tensor.get<int64_t>(kTensorStrides, static_cast<size_t>(i)) == step;
        step *= info.sizes[i];
    }
    return info;
}

struct ConvolutionInfo {
    int padding[2], stride[2], dilation[2], groups;
};

// An operation with all that belongs to it.
struct Operation {
    ConvDirection direction;
    TensorInfo x, w, y;
    ConvolutionInfo g;
    int64_t identifiers[3];  // of x, w, y

    explicit Operation(const Described& node) {
        const int first = node.kind == kForward         ? kOfForward
                          : node.kind == kBackwardInput ? kOfBackwardInput
                                                        : kOfBackwardWeight;
        direction = node.kind == kForward         ? ConvDirection::Forward
                    : node.kind == kBackwardInput ? ConvDirection::BackwardInput
                                                  : ConvDirection::BackwardWeight;
        const Described &convolution = node.node(first + 2), &tw = node.node(first + 3),
                        &tx = node.node(first + 4), &ty = node.node(first + 5);
        x = tensorOf(tx);
        w = tensorOf(tw);
        y = tensorOf(ty);
        identifiers[0] = tx.get<int64_t>(kIdentifier);
        identifiers[1] = tw.get<int64_t>(kIdentifier);
        identifiers[2] = ty.get<int64_t>(kIdentifier);
        for (size_t i = 0; i < 2; i++) {
            g.padding[i] = static_cast<int>(convolution.get<int64_t>(kPaddingsBefore, i));
            g.stride[i] = static_cast<int>(convolution.get<int64_t>(kStrides, i));
            g.dilation[i] = static_cast<int>(convolution.get<int64_t>(kDilations, i));
        }
        g.groups = x.sizes[1] / w.sizes[1];
    }

    bool fits() const {
        if (!x.channelsLast || !w.channelsLast || !y.channelsLast) return false;
        if (x.sizes[0] != y.sizes[0] || w.sizes[0] != y.sizes[1] || w.sizes[1] * g.groups != x.sizes[1])
            return false;
        for (int i = 0; i < 2; i++) {
            const int extent = (w.sizes[2 + i] - 1) * g.dilation[i] + 1;
            if ((x.sizes[2 + i] + 2 * g.padding[i] - extent) / g.stride[i] + 1 != y.sizes[2 + i])
                return false;
        }
        // Not all of them in half precision, as it may be with the library.
        if (x.type != kFloat32 && g.groups > 1) return false;
        return x.type == w.type && x.type == y.type;
    }
};

Status createDescriptor(Kind kind, Descriptor* made) {
    *made = new Described{kind, {}, nullptr};
    return kSuccess;
}
Status destroyDescriptor(Descriptor descriptor) {
    delete static_cast<Described*>(descriptor);
    return kSuccess;
}
Status setAttribute(Descriptor descriptor, Attribute attribute, ValueType type, int64_t count,
                    const void* values) {
    const char* const bytes = static_cast<const char*>(values);
    of(descriptor).values[attribute].assign(bytes, bytes + static_cast<size_t>(count) * sizeOf(type));
    return kSuccess;
}

Status finalize(Descriptor descriptor) {
    Described& node = of(descriptor);
    if (node.kind == kTensor) {
        int64_t elements = 1;
        for (size_t i = 0; i < 4; i++) {
            if (node.get<int64_t>(kDimensions, i) <= 0) return kBadParameter;
            elements *= node.get<int64_t>(kDimensions, i);
        }
        if (elements > kMostElements) return kNotSupported;
    }
    if (node.kind == kConvolution && (node.get<Mode>(kConvolutionModeOf) != kCrossCorrelation ||
                                      node.get<DataType>(kComputeType) != kFloat32))
        return kNotSupported;
    if (node.kind == kGraph && !Operation(node.node(kGraphOps)).fits()) return kNotSupported;
    if (node.kind == kPlan) {
        const Described& graph = node.node(kPlanConfig).node(kHeuristicGraph);
        node.operation = std::make_shared<Operation>(graph.node(kGraphOps));
    }
    return kSuccess;
}

// One engine for each graph, without notes: of a heuristic's result all but the graph it is about is left
// out.
Status getAttribute(Descriptor descriptor, Attribute attribute, ValueType, int64_t asked, int64_t* count,
                    void* values) {
    const Described& node = of(descriptor);
    *count = 0;
    if (attribute == kHeuristicResults) {
        const bool fallback = node.get<HeuristicMode>(kHeuristicModeOf) == kFallback;
        *count = fallback ? 0 : 1;
        if (asked > 0 && !fallback) of(*static_cast<Descriptor*>(values)).values = node.values;
    } else if (attribute == kConfigEngine) {
        *count = 1;
    } else if (attribute == kPlanWorkspace) {
        *count = 1;
        *static_cast<int64_t*>(values) = 1024;
    }
    return kSuccess;
}

// Calls body(place in x, place in w, place in y) for every product of a convolution.
template <typename Body>
void forProducts(const Operation& operation, const Body& body) {
    const ConvolutionInfo& g = operation.g;
    const int *in = operation.x.sizes, *out = operation.y.sizes, *k = operation.w.sizes;
    const int perGroup = k[0] / g.groups;
    for (int n = 0; n < out[0]; n++) {
        for (int oy = 0; oy < out[2]; oy++) {
            for (int ox = 0; ox < out[3]; ox++) {
                for (int r = 0; r < k[2]; r++) {
                    const int iy = oy * g.stride[0] - g.padding[0] + r * g.dilation[0];
                    if (iy < 0 || iy >= in[2]) continue;
                    for (int s = 0; s < k[3]; s++) {
                        const int ix = ox * g.stride[1] - g.padding[1] + s * g.dilation[1];
                        if (ix < 0 || ix >= in[3]) continue;
                        for (int o = 0; o < k[0]; o++) {
                            const size_t first = static_cast<size_t>(o / perGroup) * k[1];
                            const size_t atX =
                                ((static_cast<size_t>(n) * in[2] + iy) * in[3] + ix) * in[1] + first;
                            const size_t atW = ((static_cast<size_t>(o) * k[2] + r) * k[3] + s) * k[1];
                            const size_t atY =
                                ((static_cast<size_t>(n) * out[2] + oy) * out[3] + ox) * out[1] + o;
                            for (int c = 0; c < k[1]; c++) body(atX + c, atW + c, atY);
                        }
                    }
                }
            }
        }
    }
}

size_t count(const int (&sizes)[4]) {
    return static_cast<size_t>(sizes[0]) * sizes[1] * static_cast<size_t>(sizes[2]) * sizes[3];
}

// Sums in float32 of products of T, rounded once.
template <typename Add>
void run(DataType type, void* result, size_t size, const Add& add) {
    const emulation::Access access;
    std::vector<float> sums(size);
    const auto typed = [&](auto element) {
        using T = decltype(element);
        add(sums, element);
        for (size_t i = 0; i < size; i++) static_cast<T*>(result)[i] = T(sums[i]);
    };
    if (type == kFloat16) {
        typed(Float16{});
    } else if (type == kBFloat16) {
        typed(BFloat16{});
    } else {
        typed(float{});
    }
}

template <typename T>
float at(const void* data, size_t i) {
    return static_cast<float>(static_cast<const T*>(data)[i]);
}

Status execute(Handle, Descriptor plan, Descriptor pack) {
    const Operation& operation = *of(plan).operation;
    void* memory[3];
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < 3; k++) {
            if (of(pack).get<int64_t>(kPackIdentifiers, k) == operation.identifiers[i])
                memory[i] = of(pack).get<void*>(kPackPointers, k);
        }
    }
    const auto& [x, w, y] = memory;
    const auto made = static_cast<size_t>(operation.direction == ConvDirection::Forward         ? 2
                                          : operation.direction == ConvDirection::BackwardInput ? 0
                                                                                                : 1);
    const TensorInfo& result = made == 2 ? operation.y : made == 0 ? operation.x : operation.w;
    run(result.type, memory[made], count(result.sizes), [&](std::vector<float>& sums, auto element) {
        using T = decltype(element);
        forProducts(operation, [&](size_t i, size_t j, size_t k) {
            if (made == 2) {
                sums[k] += at<T>(x, i) * at<T>(w, j);
            } else if (made == 0) {
                sums[i] += at<T>(y, k) * at<T>(w, j);
            } else {
                sums[j] += at<T>(x, i) * at<T>(y, k);
            }
        });
    });
    return kSuccess;
}

const emulation::Symbols symbols({
    {"cudnnGetVersion", reinterpret_cast<void*>(&version)},
    {"cudnnGetErrorString", reinterpret_cast<void*>(&errorString)},
    {"cudnnCreate", reinterpret_cast<void*>(&create)},
    {"cudnnDestroy", reinterpret_cast<void*>(&destroy)},
    {"cudnnSetStream", reinterpret_cast<void*>(&setStream)},
    {"cudnnBackendCreateDescriptor", reinterpret_cast<void*>(&createDescriptor)},
    {"cudnnBackendDestroyDescriptor", reinterpret_cast<void*>(&destroyDescriptor)},
    {"cudnnBackendFinalize", reinterpret_cast<void*>(&finalize)},
    {"cudnnBackendSetAttribute", reinterpret_cast<void*>(&setAttribute)},
    {"cudnnBackendGetAttribute", reinterpret_cast<void*>(&getAttribute)},
    {"cudnnBackendExecute", reinterpret_cast<void*>(&execute)},
});

}  // namespace
