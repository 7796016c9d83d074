#pragma once

#include "cuda/conv_shape.h"
#include "cuda/launch.h"
#include "cuda/rows.h"

// The gradient of the weights of a convolution of few channels (conv_narrow.h): a thread has one term (a tap
// and an input channel) of some outputs, and adds up over a share of the pixels. What the shares come to is
// joined by a second kernel, in an order that depends on sizes alone.
namespace anneal::cuda::narrow {

constexpr size_t kSharedBytes = 48 << 10;  // what a kernel gets without asking

struct WeightSums {
    static constexpr int kTile = 128;  // pixels in shared memory at a time, at most
    static constexpr int kBatch = 8;   // loads that a thread has under way

    int pixels, height, width, outputs, terms;        // of the output
    int fromHeight, fromWidth, fromChannels, kernel;  // kernel: its width
    int stride[2], padding[2], dilation[2];
    bool inside;                       // no tap of any pixel lies beyond an edge
    int perThread;                     // outputs of a thread
    int chunk, slices;                 // terms of a block; shares of its pixels
    int chunks, parts, perPart, tile;  // the last two whole batches

    explicit WeightSums(const ConvShape& g) {
        pixels = static_cast<int>(g.output[0] * g.output[2] * g.output[3]);
        height = static_cast<int>(g.output[2]);
        width = static_cast<int>(g.output[3]);
        outputs = static_cast<int>(g.output[1]);
        fromHeight = static_cast<int>(g.input[2]);
        fromWidth = static_cast<int>(g.input[3]);
        fromChannels = static_cast<int>(g.input[1]);
        kernel = static_cast<int>(g.weight[3]);
        terms = static_cast<int>(g.weight[2]) * kernel * fromChannels;
        inside = true;
        for (int i = 0; i < 2; i++) {
            stride[i] = static_cast<int>(g.stride[i]);
            padding[i] = static_cast<int>(g.padding[i]);
            dilation[i] = static_cast<int>(g.dilation[i]);
            const int64_t last =
                (g.output[2 + i] - 1) * g.stride[i] - g.padding[i] + (g.weight[2 + i] - 1) * g.dilation[i];
            inside = inside && g.padding[i] == 0 && last < g.input[2 + i];
        }
        // Of outputs, a thread also computes those that its group lacks.
        const auto cost = [&](int each) { return (outputs + each - 1) / each * (each + 6); };
        perThread = 16;
        for (const int each : {8, 4}) perThread = cost(each) < cost(perThread) ? each : perThread;
        chunks = (terms + kThreads - 1) / kThreads;
        chunk = (terms + chunks - 1) / chunks;
        slices = std::clamp(kThreads / chunk, 1, 16);
        const int columns = chunks * groups(), least = slices > 2 ? 16 * slices : 32;
        const int most = std::max<int>(static_cast<int>(kSomeBlocks) / columns, 1);
        const int wanted = std::clamp(pixels / least, 1, most);
        const int batch = kBatch * slices, share = (pixels + wanted - 1) / wanted;
        perPart = (share + batch - 1) / batch * batch;
        tile = kTile / batch * batch;
        parts = (pixels + perPart - 1) / perPart;
    }
    int groups() const { return (outputs + perThread - 1) / perThread; }
};

// Where the first tap of a pixel reads; that of none reads nowhere.
constexpr int kNowhere = -(1 << 30);
struct alignas(16) Corner {
    int offset, y, x, unused;
};

// sums: [parts][outputs][terms]
template <int kOutputs, bool inside, typename T>
__global__ void sumWeight(Compute<T>* sums, const T* x, const T* gradient, WeightSums g) {
    using C = Compute<T>;
    constexpr int kTile = WeightSums::kTile, kBatch = WeightSums::kBatch;
    Corner* const corners = sharedMemory<Corner>();
    C* const shared = reinterpret_cast<C*>(corners + kTile);  // [kTile][kOutputs]
    const int thread = static_cast<int>(threadIdx.x), threads = static_cast<int>(blockDim.x);
    const int slice = thread / g.chunk, firstTerm = static_cast<int>(blockIdx.y) * g.chunk;
    const int chunk = g.terms - firstTerm < g.chunk ? g.terms - firstTerm : g.chunk;
    const int within = thread % g.chunk, term = firstTerm + within;
    const bool active = slice < g.slices && within < chunk;
    const int firstOutput = static_cast<int>(blockIdx.z) * kOutputs;
    const int tap = term / g.fromChannels, down = tap / g.kernel * g.dilation[0],
              right = tap % g.kernel * g.dilation[1];
    const int mine = (down * g.fromWidth + right) * g.fromChannels + term % g.fromChannels;
    const int begin = static_cast<int>(blockIdx.x) * g.perPart;
    const int end = g.pixels - begin < g.perPart ? g.pixels : begin + g.perPart;

    C total[kOutputs] = {};
    for (int start = begin; start < end; start += g.tile) {
        const int count = end - start < g.tile ? end - start : g.tile, batch = kBatch * g.slices;
        const int padded = (count + batch - 1) / batch * batch;
        if (start != begin) __syncthreads();
        for (int p = thread; p < padded; p += threads) {
            const int pixel = start + p, above = pixel / g.width;
            const int left = pixel % g.width * g.stride[1] - g.padding[1],
                      top = above % g.height * g.stride[0] - g.padding[0];
            const int line = above / g.height * g.fromHeight + top;
            corners[p] = {(line * g.fromWidth + left) * g.fromChannels, p < count ? top : kNowhere, left, 0};
        }
        constexpr int kLoads = 4;
        for (int i = thread; i < padded * kOutputs; i += kLoads * threads) {
            C values[kLoads];
#pragma unroll
            for (int b = 0; b < kLoads; b++) {
                const int at = i + b * threads, p = at / kOutputs, output = firstOutput + at % kOutputs;
                const bool read = p < count && output < g.outputs;
                values[b] = read ? toCompute(gradient[(start + p) * g.outputs + output]) : C(0);
            }
#pragma unroll
            for (int b = 0; b < kLoads; b++) {
                if (i + b * threads < padded * kOutputs) shared[i + b * threads] = values[b];
            }
        }
        __syncthreads();
        if (!active) continue;
        // Each tile by itself: long sums in the type computed in lose digits.
        C sum[kOutputs] = {};
        for (int first = slice; first < padded; first += kBatch * g.slices) {
            C values[kBatch];
#pragma unroll
            for (int b = 0; b < kBatch; b++) {
                const int p = first + b * g.slices;
                if constexpr (inside) {
                    values[b] = p < count ? toCompute(x[corners[p].offset + mine]) : C(0);
                } else {
                    const Corner corner = corners[p];
                    const auto y = static_cast<unsigned>(corner.y + down),
                               column = static_cast<unsigned>(corner.x + right);
                    const bool read = y < static_cast<unsigned>(g.fromHeight) &&
                                      column < static_cast<unsigned>(g.fromWidth);
                    values[b] = read ? toCompute(x[corner.offset + mine]) : C(0);
                }
            }
#pragma unroll
            for (int b = 0; b < kBatch; b++) {
                C of[kOutputs];
                loadPack(shared + (first + b * g.slices) * kOutputs, of);
#pragma unroll
                for (int o = 0; o < kOutputs; o++) sum[o] += values[b] * of[o];
            }
        }
#pragma unroll
        for (int o = 0; o < kOutputs; o++) total[o] += sum[o];
    }

    C* const out = sums + (static_cast<int64_t>(blockIdx.x) * g.outputs + firstOutput) * g.terms + firstTerm;
    if (g.slices == 1) {
#pragma unroll
        for (int o = 0; o < kOutputs; o++) {
            if (active && firstOutput + o < g.outputs) out[o * g.terms + within] = total[o];
        }
        return;
    }
    __syncthreads();
#pragma unroll
    for (int o = 0; o < kOutputs; o++) {
        if (active) shared[(slice * kOutputs + o) * g.chunk + within] = total[o];
    }
    __syncthreads();
    // One chunk, where there are slices.
    const int outputs = g.outputs - firstOutput < kOutputs ? g.outputs - firstOutput : kOutputs;
    for (int i = thread; i < outputs * g.chunk; i += threads) {
        C joined = shared[i];
        for (int s = 1; s < g.slices; s++) joined += shared[s * kOutputs * g.chunk + i];
        out[i] = joined;
    }
}

template <typename T>
__global__ void joinWeight(T* w, const Compute<T>* sums, int count, int parts) {
    __shared__ double scratch[kThreads];
    const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
    double total = 0;
    if (i < count) {
#pragma unroll 4
        for (int p = static_cast<int>(threadIdx.y); p < parts; p += static_cast<int>(blockDim.y))
            total += static_cast<double>(sums[static_cast<int64_t>(p) * count + i]);
    }
    total = joinSlices(total, scratch, Plus{});
    if (i < count && threadIdx.y == 0) w[i] = fromCompute<T>(static_cast<Compute<T>>(total));
}

template <typename T>
void launchWeight(cudaStream_t stream, T* w, const T* x, const T* gradient, const ConvShape& geometry,
                  Compute<T>* sums) {
    const WeightSums g(geometry);
    const auto run = [&](auto outputs) {
        constexpr int kOutputs = decltype(outputs)::value;
        const int threads = (g.slices * g.chunk + kWarp - 1) / kWarp * kWarp;
        const int elements = kOutputs * std::max(WeightSums::kTile, g.slices > 1 ? g.slices * g.chunk : 0);
        const Grid grid{
            dim3(static_cast<unsigned>(g.parts), static_cast<unsigned>(g.chunks),
                 static_cast<unsigned>(g.groups())),
            dim3(static_cast<unsigned>(threads)),
            WeightSums::kTile * sizeof(Corner) + static_cast<size_t>(elements) * sizeof(Compute<T>)};
        launchTogether(g.inside ? sumWeight<kOutputs, true, T> : sumWeight<kOutputs, false, T>, grid, stream,
                       sums, x, gradient, g);
    };
    if (g.perThread == 4) {
        run(std::integral_constant<int, 4>{});
    } else if (g.perThread == 8) {
        run(std::integral_constant<int, 8>{});
    } else {
        run(std::integral_constant<int, 16>{});
    }
    const int count = g.outputs * g.terms;
    launchTogether(joinWeight<T>, joinGrid(count, g.parts), stream, w, static_cast<const Compute<T>*>(sums),
                   count, g.parts);
}

}  // namespace anneal::cuda::narrow
