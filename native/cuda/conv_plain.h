#pragma once

#include "core/kernels.h"
#include "cuda/conv_shape.h"
#include "cuda/launch.h"

// Convolution by the definition, one thread an element: for double precision, and for what cuDNN declines.
namespace anneal::cuda {

template <typename T>
__global__ void plainForward(const T* x, const T* w, T* y, ConvShape g) {
    using C = Compute<T>;
    const int64_t total = g.output[0] * g.output[1] * g.output[2] * g.output[3];
    const int64_t perGroup = g.output[1] / g.groups;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t k = i % g.output[1], pixel = i / g.output[1];
        const int64_t ox = pixel % g.output[3], oy = pixel / g.output[3] % g.output[2],
                      n = pixel / g.output[3] / g.output[2];
        const int64_t first = k / perGroup * g.weight[1];
        C sum = 0;
        for (int64_t r = 0; r < g.weight[2]; r++) {
            const int64_t iy = oy * g.stride[0] - g.padding[0] + r * g.dilation[0];
            if (iy < 0 || iy >= g.input[2]) continue;
            for (int64_t s = 0; s < g.weight[3]; s++) {
                const int64_t ix = ox * g.stride[1] - g.padding[1] + s * g.dilation[1];
                if (ix < 0 || ix >= g.input[3]) continue;
                for (int64_t c = 0; c < g.weight[1]; c++)
                    sum +=
                        toCompute(x[g.inputAt(n, first + c, iy, ix)]) * toCompute(w[g.weightAt(k, c, r, s)]);
            }
        }
        y[i] = fromCompute<T>(sum);
    }
}

template <typename T>
__global__ void plainBackwardInput(T* dx, const T* w, const T* dy, ConvShape g) {
    using C = Compute<T>;
    const int64_t total = g.input[0] * g.input[1] * g.input[2] * g.input[3];
    const int64_t perGroup = g.output[1] / g.groups;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t channel = i % g.input[1], pixel = i / g.input[1];
        const int64_t ix = pixel % g.input[3], iy = pixel / g.input[3] % g.input[2],
                      n = pixel / g.input[3] / g.input[2];
        const int64_t group = channel / g.weight[1], c = channel % g.weight[1];
        C sum = 0;
        for (int64_t r = 0; r < g.weight[2]; r++) {
            const int64_t y = iy + g.padding[0] - r * g.dilation[0];
            if (y < 0 || y % g.stride[0] != 0 || y / g.stride[0] >= g.output[2]) continue;
            for (int64_t s = 0; s < g.weight[3]; s++) {
                const int64_t x = ix + g.padding[1] - s * g.dilation[1];
                if (x < 0 || x % g.stride[1] != 0 || x / g.stride[1] >= g.output[3]) continue;
                for (int64_t k = group * perGroup; k < (group + 1) * perGroup; k++) {
                    sum += toCompute(dy[g.outputAt(n, k, y / g.stride[0], x / g.stride[1])]) *
                           toCompute(w[g.weightAt(k, c, r, s)]);
                }
            }
        }
        dx[i] = fromCompute<T>(sum);
    }
}

template <typename T>
__global__ void plainBackwardWeight(const T* x, T* dw, const T* dy, ConvShape g) {
    using C = Compute<T>;
    const int64_t total = g.weight[0] * g.weight[1] * g.weight[2] * g.weight[3];
    const int64_t perGroup = g.output[1] / g.groups;
    for (int64_t i = globalThread(); i < total; i += globalThreads()) {
        const int64_t c = i % g.weight[1], rest = i / g.weight[1];
        const int64_t s = rest % g.weight[3], r = rest / g.weight[3] % g.weight[2],
                      k = rest / g.weight[3] / g.weight[2];
        const int64_t channel = k / perGroup * g.weight[1] + c;
        C sum = 0;
        for (int64_t n = 0; n < g.output[0]; n++) {
            for (int64_t oy = 0; oy < g.output[2]; oy++) {
                const int64_t iy = oy * g.stride[0] - g.padding[0] + r * g.dilation[0];
                if (iy < 0 || iy >= g.input[2]) continue;
                for (int64_t ox = 0; ox < g.output[3]; ox++) {
                    const int64_t ix = ox * g.stride[1] - g.padding[1] + s * g.dilation[1];
                    if (ix < 0 || ix >= g.input[3]) continue;
                    sum +=
                        toCompute(x[g.inputAt(n, channel, iy, ix)]) * toCompute(dy[g.outputAt(n, k, oy, ox)]);
                }
            }
        }
        dw[i] = fromCompute<T>(sum);
    }
}

template <typename T>
void convolvePlain(cudaStream_t stream, cpu::ConvDirection direction, T* x, T* w, T* y, const ConvShape& g) {
    switch (direction) {
        case cpu::ConvDirection::Forward:
            return launch(plainForward<T>, gridFor(elements(g.output)), stream, static_cast<const T*>(x),
                          static_cast<const T*>(w), y, g);
        case cpu::ConvDirection::BackwardInput:
            return launch(plainBackwardInput<T>, gridFor(elements(g.input)), stream, x,
                          static_cast<const T*>(w), static_cast<const T*>(y), g);
        case cpu::ConvDirection::BackwardWeight:
            return launch(plainBackwardWeight<T>, gridFor(elements(g.weight)), stream,
                          static_cast<const T*>(x), w, static_cast<const T*>(y), g);
    }
}

}  // namespace anneal::cuda
