#pragma once

#include <array>

#include "cpu/loops.h"
#include "cuda/launch.h"
#include "cuda/types.h"

// How kernels go through strided operands: the processor's plan (dimensions ordered by the output's memory,
// neighbours merged), with divisions by multiplication.
namespace anneal::cuda {

// n / divisor for n below 2^31 (Granlund and Montgomery 1994).
struct Divider {
    uint32_t divisor = 1, multiplier = 0, shift = 0;

    Divider() = default;
    explicit Divider(uint32_t d) : divisor(d) {
        while (shift < 32 && (uint64_t{1} << shift) < d) shift++;
        multiplier = static_cast<uint32_t>(((uint64_t{1} << 32) * ((uint64_t{1} << shift) - d)) / d + 1);
    }
    __device__ uint32_t quotient(uint32_t n) const { return (__umulhi(n, multiplier) + n) >> shift; }
};

template <int N>
struct Walk {
    int dims = 0;
    int64_t numel = 0;
    bool dense = false;   // every operand lies as the first one does, without gaps, or is a single value
    bool narrow = false;  // below 2^31 elements
    int64_t sizes[kMaxDims];
    int64_t strides[N][kMaxDims];  // in bytes, innermost first
    Divider dividers[kMaxDims];
    char* data[N];

    explicit Walk(const std::array<View, N>& operands) {
        const cpu::LoopPlan<N> plan(operands);
        dims = plan.dims;
        numel = plan.numel;
        narrow = numel < (int64_t{1} << 31);
        for (int n = 0; n < N; n++) data[n] = plan.data[n];
        for (int k = 0; k < dims; k++) {
            sizes[k] = plan.sizes[k];
            if (narrow) dividers[k] = Divider(static_cast<uint32_t>(std::max<int64_t>(sizes[k], 1)));
            for (int n = 0; n < N; n++) strides[n][k] = plan.strides[n][k];
        }
        dense = dims == 1;
        for (int n = 0; n < N && dense; n++) {
            const auto step = static_cast<int64_t>(dtypeSize(operands[n].dtype));
            dense = strides[n][0] == step || (n > 0 && strides[n][0] == 0) || numel == 1;
        }
    }

    // Whether operand n is read at one place only.
    bool single(int n) const { return dims == 1 && (strides[n][0] == 0 || numel == 1); }

    __device__ void offsets(int64_t index, int64_t (&result)[N]) const {
        for (int n = 0; n < N; n++) result[n] = 0;
        if (narrow) {
            uint32_t rest = static_cast<uint32_t>(index);
            for (int k = 0; k < dims; k++) {
                const uint32_t next = k + 1 < dims ? dividers[k].quotient(rest) : 0;
                const int64_t place = rest - next * dividers[k].divisor;
                rest = next;
                for (int n = 0; n < N; n++) result[n] += place * strides[n][k];
            }
        } else {
            for (int k = 0; k < dims; k++) {
                const int64_t place = k + 1 < dims ? index % sizes[k] : index;
                index /= sizes[k];
                for (int n = 0; n < N; n++) result[n] += place * strides[n][k];
            }
        }
    }

    template <typename T>
    __device__ T& at(int n, int64_t offset) const {
        return *reinterpret_cast<T*>(data[n] + offset);
    }
};

// Whether packs of `bytes` may be read and written at all operands that are not single.
template <int N>
bool aligned(const Walk<N>& walk, size_t bytes) {
    for (int n = 0; n < N; n++) {
        if (!walk.single(n) && reinterpret_cast<uintptr_t>(walk.data[n]) % bytes != 0) return false;
    }
    return true;
}

// Functions say with kPacked whether they are worth 16 bytes at a time: those that choose what to do inside
// are not, as each element of a pack would be one more copy of all that there is to choose from.

// --- one operand to another: f(In) gives Out

template <typename Out, typename In, typename F>
__global__ void mapOneDense(Out* out, const In* in, int64_t numel, F f) {
    constexpr int kCount = 16 / (sizeof(Out) > sizeof(In) ? sizeof(Out) : sizeof(In));
    const int64_t packs = numel / kCount;
    for (int64_t i = globalThread(); i < packs; i += globalThreads()) {
        const auto x = reinterpret_cast<const Pack<In, kCount>*>(in)[i];
        Pack<Out, kCount> y;
#pragma unroll
        for (int k = 0; k < kCount; k++) y.values[k] = f(x.values[k]);
        reinterpret_cast<Pack<Out, kCount>*>(out)[i] = y;
    }
    for (int64_t i = packs * kCount + globalThread(); i < numel; i += globalThreads()) out[i] = f(in[i]);
}

template <typename Out, typename In, typename F>
__global__ void mapOneStrided(Walk<2> walk, F f) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[2];
        walk.offsets(i, offset);
        walk.template at<Out>(0, offset[0]) = f(walk.template at<const In>(1, offset[1]));
    }
}

template <typename Out, typename In, typename F>
void mapOne(const View& out, const View& in, F f, cudaStream_t stream) {
    const Walk<2> walk({out, in});
    if (walk.numel == 0) return;
    if constexpr (F::kPacked) {
        if (walk.dense && !walk.single(1) && aligned(walk, 16)) {
            return launch(mapOneDense<Out, In, F>, gridFor((walk.numel + 3) / 4), stream,
                          reinterpret_cast<Out*>(walk.data[0]), reinterpret_cast<const In*>(walk.data[1]),
                          walk.numel, f);
        }
    }
    launch(mapOneStrided<Out, In, F>, gridFor(walk.numel), stream, walk, f);
}

// --- two operands to one; either may be a single value

template <typename In, int count>
__device__ inline Pack<In, count> packOf(const In* from, int64_t i, bool single, In value) {
    if (!single) return reinterpret_cast<const Pack<In, count>*>(from)[i];
    Pack<In, count> same;
#pragma unroll
    for (int k = 0; k < count; k++) same.values[k] = value;
    return same;
}

template <typename Out, typename In, typename F>
__global__ void mapTwoDense(Out* out, const In* a, const In* b, int64_t numel, bool singleA, bool singleB,
                            F f) {
    constexpr int kCount = 16 / (sizeof(Out) > sizeof(In) ? sizeof(Out) : sizeof(In));
    const int64_t packs = numel / kCount;
    const In x0 = singleA ? *a : In{}, y0 = singleB ? *b : In{};
    for (int64_t i = globalThread(); i < packs; i += globalThreads()) {
        const auto x = packOf<In, kCount>(a, i, singleA, x0), y = packOf<In, kCount>(b, i, singleB, y0);
        Pack<Out, kCount> z;
#pragma unroll
        for (int k = 0; k < kCount; k++) z.values[k] = f(x.values[k], y.values[k]);
        reinterpret_cast<Pack<Out, kCount>*>(out)[i] = z;
    }
    for (int64_t i = packs * kCount + globalThread(); i < numel; i += globalThreads())
        out[i] = f(singleA ? x0 : a[i], singleB ? y0 : b[i]);
}

template <typename Out, typename In, typename F>
__global__ void mapTwoStrided(Walk<3> walk, F f) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[3];
        walk.offsets(i, offset);
        walk.template at<Out>(0, offset[0]) =
            f(walk.template at<const In>(1, offset[1]), walk.template at<const In>(2, offset[2]));
    }
}

template <typename Out, typename In, typename F>
void mapTwo(const View& out, const View& a, const View& b, F f, cudaStream_t stream) {
    const Walk<3> walk({out, a, b});
    if (walk.numel == 0) return;
    if constexpr (F::kPacked) {
        if (walk.dense && aligned(walk, 16)) {
            return launch(mapTwoDense<Out, In, F>, gridFor((walk.numel + 3) / 4), stream,
                          reinterpret_cast<Out*>(walk.data[0]), reinterpret_cast<const In*>(walk.data[1]),
                          reinterpret_cast<const In*>(walk.data[2]), walk.numel, walk.single(1),
                          walk.single(2), f);
        }
    }
    launch(mapTwoStrided<Out, In, F>, gridFor(walk.numel), stream, walk, f);
}

}  // namespace anneal::cuda
