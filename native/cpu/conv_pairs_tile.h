#pragma once

#include <cstdint>
#include <vector>

#include "cpu/gemm_tile.h"
#include "cpu/kernels.h"
#include "cpu/pictures.h"

// What convolutions by dot products of pairs share: which pixels meet at each tap, and the innermost piece of
// the matrix products.
namespace anneal::cpu::pairs {

using Pictures = cpu::Pictures<BFloat16>;

// For each tap of a kernel, the pixels of the output and those of the input that it joins: what would fall on
// the padding is left out, which in small pictures is a good part.
class Meetings {
  public:
    struct Pixels {
        int32_t out, in;
    };
    Meetings(const Pictures& out, const Pictures& in, const Dims& weight, const ConvGeometry& g) {
        for (int64_t i = 0; i < weight[2]; i++) {
            for (int64_t j = 0; j < weight[3]; j++) {
                begins_.push_back(static_cast<int64_t>(pixels_.size()));
                addTap(out, in, g, i * g.dilation[0] - g.padding[0], j * g.dilation[1] - g.padding[1]);
            }
        }
        begins_.push_back(static_cast<int64_t>(pixels_.size()));
    }
    // The first of those of a tap, of all taps in a row.
    int64_t begin(int64_t tap) const { return begins_[tap]; }
    int64_t count(int64_t tap) const { return begins_[tap + 1] - begins_[tap]; }
    int64_t count() const { return begins_.back(); }
    const Pixels& operator[](int64_t index) const { return pixels_[index]; }

  private:
    void addTap(const Pictures& out, const Pictures& in, const ConvGeometry& g, int64_t down, int64_t right) {
        for (int64_t n = 0; n < out.count; n++) {
            for (int64_t i = 0; i < out.height; i++) {
                const int64_t row = i * g.stride[0] + down;
                if (row < 0 || row >= in.height) continue;
                for (int64_t j = 0; j < out.width; j++) {
                    const int64_t column = j * g.stride[1] + right;
                    if (column < 0 || column >= in.width) continue;
                    pixels_.push_back({static_cast<int32_t>((n * out.height + i) * out.width + j),
                                       static_cast<int32_t>((n * in.height + row) * in.width + column)});
                }
            }
        }
    }

    std::vector<Pixels> pixels_;
    std::vector<int64_t> begins_;
};

#if defined(__AVX512BF16__)

constexpr int kRows = 12, kWidth = 16;
constexpr int64_t kColumns = 2 * kWidth;

// c[rows[i]][j] (+)= the sum over pairs k of a[i * aRow + k * aStep] and b[k * kColumns + j], two products to
// a word, for `Count` rows and two vectors of columns.
template <int Count>
void tile(int64_t depth, const uint32_t* a, int64_t aRow, int64_t aStep, const uint32_t* b, float* c,
          const int32_t* rows, bool accumulate) {
    __m512 sum[Count][2];
#pragma GCC unroll 12
    for (int i = 0; i < Count; i++) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    gemm::Rows<Count, uint32_t> left(a, aRow);
    for (int64_t k = 0; k < depth; k++) {
        const __m512bh first = (__m512bh)_mm512_loadu_si512(b),
                       second = (__m512bh)_mm512_loadu_si512(b + kWidth);
#pragma GCC unroll 12
        for (int i = 0; i < Count; i++) {
            const __m512bh value = (__m512bh)_mm512_set1_epi32(static_cast<int>(left[i]));
            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], value, first);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], value, second);
        }
        left.advance(aStep);
        b += kColumns;
    }
#pragma GCC unroll 12
    for (int i = 0; i < Count; i++) {
        for (int v = 0; v < 2; v++) {
            float* const to = c + rows[i] * kColumns + v * kWidth;
            _mm512_storeu_ps(to, accumulate ? _mm512_add_ps(_mm512_loadu_ps(to), sum[i][v]) : sum[i][v]);
        }
    }
}

// The same for any number of rows, in tiles of about equal height.
inline void product(int64_t rowCount, int64_t depth, const uint32_t* a, int64_t aRow, int64_t aStep,
                    const uint32_t* b, float* c, const int32_t* rows, bool accumulate) {
    static constexpr decltype(&tile<1>) kTiles[] = {tile<1>, tile<2>, tile<3>, tile<4>,  tile<5>,  tile<6>,
                                                    tile<7>, tile<8>, tile<9>, tile<10>, tile<11>, tile<12>};
    for (int64_t tiles = (rowCount + kRows - 1) / kRows; tiles > 0; tiles--) {
        const int64_t height = (rowCount + tiles - 1) / tiles;
        kTiles[height - 1](depth, a, aRow, aStep, b, c, rows, accumulate);
        a += height * aRow, rows += height, rowCount -= height;
    }
}

#endif

}  // namespace anneal::cpu::pairs
