#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/parallel.h"
#include "cpu/pictures.h"
#include "cpu/simd.h"
#include "cpu/winograd_large_tiles.h"

// Pictures into transformed patches, and back: M x M outputs at a time, in planes that matrix products take.
namespace anneal::cpu::winograd {

constexpr int64_t kPad = 16;  // floats that keep the planes and the rows off each other's cache sets

// Tiles of M x M outputs.
template <int M>
struct Tiles {
    int64_t rows, columns, count;
    Tiles(int64_t pictures, int64_t height, int64_t width)
        : rows((height + M - 1) / M), columns((width + M - 1) / M), count(pictures * rows * columns) {}
    struct Place {
        int64_t picture, row, column;  // of the tile's first output
    };
    Place place(int64_t tile) const {
        return {tile / (rows * columns), tile / columns % rows * M, tile % columns * M};
    }
};

template <int M, int R = 3>
constexpr int64_t kPlanes = (M + R - 1) * (M + R - 1);

// One plane for each element of a transformed patch, of [tiles, channels].
template <int M, int R = 3>
struct Planes {
    static constexpr int kLines = M + R - 1;
    float* data;
    int64_t row, plane;
    Planes(float* data, int64_t tiles, int64_t channels, int64_t pad = kPad)
        : data(data), row(channels + pad), plane(tiles * (channels + pad) + kPad) {}
    Planes from(int64_t tile) const {
        Planes later = *this;
        later.data += tile * row;
        return later;
    }
    static int64_t floats(int64_t tiles, int64_t channels, int64_t pad = kPad) {
        return kPlanes<M, R> * (tiles * (channels + pad) + kPad);
    }
};

// Where the pixels of a Size x Size patch lie; those outside the picture are a row of zeros.
template <int Size, typename T>
struct Patch {
    const T* from[Size][Size];
    Patch(const Pictures<T>& in, int64_t n, int64_t top, int64_t left, const T* outside) {
        for (int i = 0; i < Size; i++) {
            for (int j = 0; j < Size; j++) {
                const int64_t row = top + i, column = left + j;
                const bool inside = row >= 0 && row < in.height && column >= 0 && column < in.width;
                from[i][j] = inside ? in.at(n, row, column) : outside;
            }
        }
    }
};

// B^T d B for tiles [begin, end); what lies outside the picture counts as zero.
template <int M, int R, typename T>
ANNEAL_ONE_COPY void gatherInput(const Planes<M, R>& planes, const Pictures<T>& in, const Tiles<M>& tiles,
                                 int64_t begin, int64_t end, const int64_t (&padding)[2]) {
    const T* const outside = zeros<T>(in.channels);
    const int64_t plane = planes.plane;
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, row, column] = tiles.place(tile);
        const Patch<M + R - 1, T> patch(in, n, row - padding[0], column - padding[1], outside);
        for (int64_t c = 0; c < in.channels; c += simd::Lanes<float>::kCount) {
            float* to = planes.data + (tile - begin) * planes.row + c;
            transformPatch<M + R - 1, M + R - 1>(
                [&](int i, int j) { return simd::load(patch.from[i][j] + c); }, Scheme<M, R>::input,
                [&](int, int, V value) { simd::store(to, value), to += plane; });
        }
    }
}

// A dy A^T for tiles [begin, end).
template <int M, int R, typename T>
ANNEAL_ONE_COPY void gatherGradient(const Planes<M, R>& planes, const Pictures<T>& gradient,
                                    const Tiles<M>& tiles, int64_t begin, int64_t end, int64_t channel,
                                    int64_t channels) {
    const T* const outside = zeros<T>(gradient.channels);
    const int64_t plane = planes.plane;
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, row, column] = tiles.place(tile);
        const Patch<M, T> patch(gradient, n, row, column, outside);
        for (int64_t c = 0; c < channels; c += simd::Lanes<float>::kCount) {
            float* to = planes.data + (tile - begin) * planes.row + c;
            transformPatch<M, M + R - 1>(
                [&](int i, int j) { return simd::load(patch.from[i][j] + channel + c); },
                Scheme<M, R>::outputAdjoint, [&](int, int, V value) { simd::store(to, value), to += plane; });
        }
    }
}

// What becomes of an output before it is stored: a shift of its channel, a residual sum, a ReLU; or nothing.
template <typename T>
struct Finish {
    const float* shift;
    const T* residual;
    bool relu;
};

// A^T m A for tiles [begin, end) into `channels` channels from the given one on, cut off at the picture's
// edges.
template <int M, int R, typename T>
void scatterOutput(const Planes<M, R>& planes, const Pictures<T>& out, const Finish<T>& finish,
                   const Tiles<M>& tiles, int64_t begin, int64_t end, int64_t channel, int64_t channels) {
    // What is read through references would be read again after each store.
    const auto [shifts, residual, relu] = finish;
    const int64_t plane = planes.plane, down = planes.kLines * plane, right = out.channels,
                  below = out.width * right;
    for (int64_t tile = begin; tile < end; tile++) {
        const auto [n, row, column] = tiles.place(tile);
        const int rows = static_cast<int>(std::min<int64_t>(M, out.height - row)),
                  columns = static_cast<int>(std::min<int64_t>(M, out.width - column));
        T* const to = out.at(n, row, column) + channel;
        const T* const more = residual ? residual + (to - out.data) : nullptr;
        const bool plain = !shifts && !residual && !relu && rows == M && columns == M;
        for (int64_t c = 0; c < channels; c += simd::Lanes<float>::kCount) {
            const float *const patch = planes.data + (tile - begin) * planes.row + c, *from = nullptr;
            const auto load = [&](int i, int j) __attribute__((always_inline)) {
                from = i == 0 ? patch + j * plane : from + down;
                return simd::load(from);
            };
            int64_t offset = 0;
            if (plain) {
                transformPatch<M + R - 1, M>(load, Scheme<M, R>::output, [&](int i, int j, V value) {
                    offset = j == 0 ? c + i * below : offset + right;
                    simd::storeRounded(to + offset, value);
                });
                continue;
            }
            const V shift = shifts ? simd::load(shifts + channel + c) : V{};
            transformPatch<M + R - 1, M>(load, Scheme<M, R>::output, [&](int i, int j, V value) {
                offset = j == 0 ? c + i * below : offset + right;
                if (i >= rows || j >= columns) return;
                value += shift;
                if (more) value += simd::load(more + offset);
                if (relu) value = value < 0 ? V{} : value;
                simd::storeRounded(to + offset, value);
            });
        }
    }
}

}  // namespace anneal::cpu::winograd
