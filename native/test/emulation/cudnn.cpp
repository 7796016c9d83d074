// The part of cuDNN that native/cuda calls: convolution of channels-last pictures by plain loops.
#include <vector>

#include "core/half.h"
#include "cuda/cudnn.h"
#include "libraries.h"

using namespace anneal;
using namespace anneal::cuda;

namespace anneal::cuda::dnn {

struct DnnContext {};
struct DnnTensor {
    DataType type;
    int sizes[4];  // n, c, h, w
};
struct DnnFilter {
    DataType type;
    int sizes[4];  // k, c, h, w
};
struct DnnConvolution {
    int padding[2], stride[2], dilation[2], groups = 1;
};

}  // namespace anneal::cuda::dnn

namespace {

using namespace anneal::cuda::dnn;

constexpr Status kBadParameter = Status(3), kNotSupported = Status(9);

size_t version() { return 90000; }
const char* errorString(Status status) { return status == kBadParameter ? "bad parameter" : "not supported"; }

template <typename Made>
Status make(Made** made) {
    *made = new Made{};
    return kSuccess;
}
template <typename Made>
Status drop(Made* made) {
    delete made;
    return kSuccess;
}
Status setStream(Handle, cudaStream_t) { return kSuccess; }
Status setTensor(Tensor tensor, Format format, DataType type, int n, int c, int h, int w) {
    if (format != kChannelsLast) return kNotSupported;
    *tensor = {type, {n, c, h, w}};
    return n > 0 && c > 0 && h > 0 && w > 0 ? kSuccess : kBadParameter;
}
Status setFilter(Filter filter, DataType type, Format format, int k, int c, int h, int w) {
    if (format != kChannelsLast) return kNotSupported;
    *filter = {type, {k, c, h, w}};
    return kSuccess;
}
Status setConvolution(Convolution convolution, int padY, int padX, int strideY, int strideX, int dilationY,
                      int dilationX, Mode mode, DataType compute) {
    if (mode != kCrossCorrelation || compute != kFloat32) return kNotSupported;
    *convolution = {{padY, padX}, {strideY, strideX}, {dilationY, dilationX}, 1};
    return kSuccess;
}
Status setGroups(Convolution convolution, int groups) {
    convolution->groups = groups;
    return kSuccess;
}
Status setMath(Convolution, MathType) { return kSuccess; }

bool fits(Tensor x, Filter w, Convolution g, Tensor y) {
    if (x->sizes[0] != y->sizes[0] || w->sizes[0] != y->sizes[1] || w->sizes[1] * g->groups != x->sizes[1])
        return false;
    for (int i = 0; i < 2; i++) {
        const int extent = (w->sizes[2 + i] - 1) * g->dilation[i] + 1;
        if ((x->sizes[2 + i] + 2 * g->padding[i] - extent) / g->stride[i] + 1 != y->sizes[2 + i])
            return false;
    }
    // Not all of them in half precision, as it may be with the library.
    if (x->type != kFloat32 && g->groups > 1) return false;
    return x->type == w->type && x->type == y->type;
}

Status answer(bool possible, int* found, Performance* all) {
    *found = possible ? 1 : 0;
    if (possible) all[0] = {1, kSuccess, 0.1f, 1024, 1, kTensorMath, {}};
    return possible ? kSuccess : kNotSupported;
}
Status findForward(Handle, Tensor x, const void*, Filter w, const void*, Convolution g, Tensor y, void*, int,
                   int* found, Performance* all, void*, size_t) {
    return answer(fits(x, w, g, y), found, all);
}
Status findInput(Handle, Filter w, const void*, Tensor y, const void*, Convolution g, Tensor x, void*, int,
                 int* found, Performance* all, void*, size_t) {
    return answer(fits(x, w, g, y), found, all);
}
Status findWeight(Handle, Tensor x, const void*, Tensor y, const void*, Convolution g, Filter w, void*, int,
                  int* found, Performance* all, void*, size_t) {
    return answer(fits(x, w, g, y), found, all);
}

// Calls body(place in x, place in w, place in y) for every product of a convolution.
template <typename Body>
void forProducts(Tensor x, Filter w, Convolution g, Tensor y, const Body& body) {
    const int perGroup = w->sizes[0] / g->groups, *in = x->sizes, *out = y->sizes, *k = w->sizes;
    for (int n = 0; n < out[0]; n++) {
        for (int oy = 0; oy < out[2]; oy++) {
            for (int ox = 0; ox < out[3]; ox++) {
                for (int r = 0; r < k[2]; r++) {
                    const int iy = oy * g->stride[0] - g->padding[0] + r * g->dilation[0];
                    if (iy < 0 || iy >= in[2]) continue;
                    for (int s = 0; s < k[3]; s++) {
                        const int ix = ox * g->stride[1] - g->padding[1] + s * g->dilation[1];
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

Status forward(Handle, const void*, Tensor dx, const void* x, Filter dw, const void* w, Convolution g, int,
               void*, size_t, const void*, Tensor dy, void* y) {
    run(dy->type, y, count(dy->sizes), [&](std::vector<float>& sums, auto element) {
        using T = decltype(element);
        forProducts(dx, dw, g, dy,
                    [&](size_t i, size_t j, size_t k) { sums[k] += at<T>(x, i) * at<T>(w, j); });
    });
    return kSuccess;
}
Status backwardInput(Handle, const void*, Filter dw, const void* w, Tensor dy, const void* y, Convolution g,
                     int, void*, size_t, const void*, Tensor dx, void* x) {
    run(dx->type, x, count(dx->sizes), [&](std::vector<float>& sums, auto element) {
        using T = decltype(element);
        forProducts(dx, dw, g, dy,
                    [&](size_t i, size_t j, size_t k) { sums[i] += at<T>(y, k) * at<T>(w, j); });
    });
    return kSuccess;
}
Status backwardWeight(Handle, const void*, Tensor dx, const void* x, Tensor dy, const void* y, Convolution g,
                      int, void*, size_t, const void*, Filter dw, void* w) {
    run(dw->type, w, count(dw->sizes), [&](std::vector<float>& sums, auto element) {
        using T = decltype(element);
        forProducts(dx, dw, g, dy,
                    [&](size_t i, size_t j, size_t k) { sums[j] += at<T>(x, i) * at<T>(y, k); });
    });
    return kSuccess;
}

const emulation::Symbols symbols({
    {"cudnnGetVersion", reinterpret_cast<void*>(&version)},
    {"cudnnGetErrorString", reinterpret_cast<void*>(&errorString)},
    {"cudnnCreate", reinterpret_cast<void*>(&make<DnnContext>)},
    {"cudnnDestroy", reinterpret_cast<void*>(&drop<DnnContext>)},
    {"cudnnSetStream", reinterpret_cast<void*>(&setStream)},
    {"cudnnCreateTensorDescriptor", reinterpret_cast<void*>(&make<DnnTensor>)},
    {"cudnnDestroyTensorDescriptor", reinterpret_cast<void*>(&drop<DnnTensor>)},
    {"cudnnSetTensor4dDescriptor", reinterpret_cast<void*>(&setTensor)},
    {"cudnnCreateFilterDescriptor", reinterpret_cast<void*>(&make<DnnFilter>)},
    {"cudnnDestroyFilterDescriptor", reinterpret_cast<void*>(&drop<DnnFilter>)},
    {"cudnnSetFilter4dDescriptor", reinterpret_cast<void*>(&setFilter)},
    {"cudnnCreateConvolutionDescriptor", reinterpret_cast<void*>(&make<DnnConvolution>)},
    {"cudnnDestroyConvolutionDescriptor", reinterpret_cast<void*>(&drop<DnnConvolution>)},
    {"cudnnSetConvolution2dDescriptor", reinterpret_cast<void*>(&setConvolution)},
    {"cudnnSetConvolutionGroupCount", reinterpret_cast<void*>(&setGroups)},
    {"cudnnSetConvolutionMathType", reinterpret_cast<void*>(&setMath)},
    {"cudnnFindConvolutionForwardAlgorithmEx", reinterpret_cast<void*>(&findForward)},
    {"cudnnFindConvolutionBackwardDataAlgorithmEx", reinterpret_cast<void*>(&findInput)},
    {"cudnnFindConvolutionBackwardFilterAlgorithmEx", reinterpret_cast<void*>(&findWeight)},
    {"cudnnConvolutionForward", reinterpret_cast<void*>(&forward)},
    {"cudnnConvolutionBackwardData", reinterpret_cast<void*>(&backwardInput)},
    {"cudnnConvolutionBackwardFilter", reinterpret_cast<void*>(&backwardWeight)},
});

}  // namespace
