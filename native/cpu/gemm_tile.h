#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "cpu/simd.h"

// The innermost piece of a float32 matrix product, on operands that the caller has laid out for it.
namespace anneal::cpu::gemm {

constexpr int kWidth = simd::Lanes<float>::kCount;
// Rows and vectors of a tile of the result that stay in registers: of 32 registers with AVX-512, of 16
// without.
#if defined(ANNEAL_AVX512)
constexpr int kRows = 12;
#else
constexpr int kRows = 6;
#endif
constexpr int kVectors = 2;
constexpr int kColumns = kVectors * kWidth;

// Rows that lie `step` apart, three to a pointer: with a pointer for each the addresses of a tile would take
// more registers than there are, and reading them from memory more time than the products leave.
template <int Count, typename T>
class Rows {
  public:
    ANNEAL_INLINE Rows(const T* first, int64_t step) : step_(step) {
#pragma GCC unroll 4
        for (int i = 0; i < kPointers; i++) pointers_[i] = first + 3 * i * step;
    }
    ANNEAL_INLINE const T& operator[](int row) const { return pointers_[row / 3][row % 3 * step_]; }
    ANNEAL_INLINE void advance(int64_t by) {
#pragma GCC unroll 4
        for (int i = 0; i < kPointers; i++) {
            pointers_[i] += by;
            asm("" : "+r"(pointers_[i]));  // else the compiler derives one from the other again
        }
    }

  private:
    static constexpr int kPointers = (Count + 2) / 3;
    const T* pointers_[kPointers];
    int64_t step_;
};

// c[i][j] (+)= sum over k of a[i * aRow + k * aStep] * b[k * bStep + j], for `Count` rows and `Vectors`
// vectors, of the last of which only the lanes `last` are in memory. What is in c is added last: a long sum
// in pieces rounds less than one in a row.
template <int Count, int Vectors, typename Last = simd::Full>
inline void tile(int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b, int64_t bStep,
                 float* c, int64_t cRow, bool accumulate, Last last = {}) {
    using V = simd::Vector<float>;
    constexpr int kWhole = Vectors - 1;
    V sum[Count][Vectors];
#pragma GCC unroll 16
    for (int i = 0; i < Count; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; v++) sum[i][v] = V{};
    }
    Rows<Count, float> rows(a, aRow);
    for (int64_t k = 0; k < depth; k++) {
        V right[Vectors];
#pragma GCC unroll 8
        for (int v = 0; v < kWhole; v++) right[v] = simd::load(b + v * kWidth);
        right[kWhole] = simd::load(b + kWhole * kWidth, last);
#pragma GCC unroll 8
        for (int v = 0; v < Vectors; v++) simd::keepInRegister(right[v]);
#pragma GCC unroll 16
        for (int i = 0; i < Count; i++) {
            const V left = simd::splat(rows[i]);
#pragma GCC unroll 8
            for (int v = 0; v < Vectors; v++) sum[i][v] += left * right[v];
        }
        rows.advance(aStep);
        b += bStep;
    }
#pragma GCC unroll 16
    for (int i = 0; i < Count; i++) {
#pragma GCC unroll 8
        for (int v = 0; v < kWhole; v++) {
            float* const to = c + v * kWidth;
            simd::store(to, accumulate ? simd::load(to) + sum[i][v] : sum[i][v]);
        }
        float* const to = c + kWhole * kWidth;
        simd::store(to, accumulate ? simd::load(to, last) + sum[i][kWhole] : sum[i][kWhole], last);
        c += cRow;
    }
}

template <typename Last>
using Tile = void (*)(int64_t depth, const float* a, int64_t aRow, int64_t aStep, const float* b,
                      int64_t bStep, float* c, int64_t cRow, bool accumulate, Last last);

namespace detail {

template <int Vectors, typename Last, int... Count>
constexpr std::array<Tile<Last>, sizeof...(Count)> tiles(std::integer_sequence<int, Count...>) {
    return {tile<Count + 1, Vectors, Last>...};
}

}  // namespace detail

// The tile for so many rows.
template <int Vectors, typename Last = simd::Full>
Tile<Last> tileOf(int rows) {
    static constexpr auto kTiles = detail::tiles<Vectors, Last>(std::make_integer_sequence<int, kRows>{});
    return kTiles[rows - 1];
}

// c[rows, columns] (+)= a b. `b` is cut into panels of kColumns columns that lie `bPanel` apart (kColumns
// where its rows are rows of memory). Sums are made in pieces of `piece` products. Columns are whole vectors,
// unless `Edge` is simd::Part.
template <typename Edge = simd::Full>
inline void product(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t aRow, int64_t aStep,
                    const float* b, int64_t bPanel, int64_t bStep, float* c, int64_t cRow, bool accumulate,
                    int64_t piece) {
    for (int64_t j = 0; j < columns; j += kColumns) {
        const float* panel = b + j / kColumns * bPanel;
        const auto forTiles = [&](const auto& tileFor, auto last) {
            // In tiles of about equal height.
            int64_t i = 0;
            for (int64_t left = (rows + kRows - 1) / kRows; left > 0; left--) {
                const int count = static_cast<int>((rows - i + left - 1) / left);
                const auto run = tileFor(count);
                for (int64_t k = 0; k < depth; k += piece) {
                    run(depth - k < piece ? depth - k : piece, a + i * aRow + k * aStep, aRow, aStep,
                        panel + k * bStep, bStep, c + i * cRow + j, cRow, accumulate || k != 0, last);
                }
                i += count;
            }
        };
        const int64_t width = columns - j;
        if (width >= kColumns) {
            forTiles(tileOf<kVectors>, simd::Full{});
        } else if constexpr (std::is_same_v<Edge, simd::Full>) {
            forTiles(tileOf<1>, simd::Full{});
        } else {
            const Edge last{static_cast<int>((width - 1) % kWidth + 1)};
            forTiles(width > kWidth ? tileOf<kVectors, Edge> : tileOf<1, Edge>, last);
        }
    }
}

}  // namespace anneal::cpu::gemm
