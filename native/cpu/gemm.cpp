#include "cpu/gemm.h"

#include <algorithm>

#include "cpu/gemm_tile.h"
#include "cpu/scratch.h"

namespace anneal::cpu::gemm {

namespace {

using V = simd::Vector<float>;

// Products that are summed in one go: a panel of b for as many lies in the first-level cache.
constexpr int64_t kPiece = 192;

// --- few rows: dot products along the depth, where both sides lie that way

// Adds what one vector of each row and column contributes.
template <int Count, int Columns, typename L>
ANNEAL_INLINE void addDots(V (&sum)[kWidth], const float* a, int64_t aRow, const Rows<Columns, float>& b,
                           L lanes) {
    V left[Count];
#pragma GCC unroll 4
    for (int i = 0; i < Count; i++) left[i] = simd::load(a + i * aRow, lanes);
#pragma GCC unroll 16
    for (int j = 0; j < Columns; j++) {
        const V right = simd::load(&b[j], lanes);
#pragma GCC unroll 4
        for (int i = 0; i < Count; i++) sum[i * Columns + j] += left[i] * right;
    }
}

// results[i * Columns + j] = a_i . b_j for `Count` rows of a and `Columns` columns of b.
template <int Count, int Columns>
void dotTile(int64_t depth, const float* a, int64_t aRow, const float* b, int64_t bColumn, float* results) {
    V sum[kWidth] = {};
    Rows<Columns, float> right(b, bColumn);
    for (; depth >= kWidth; depth -= kWidth) {
        addDots<Count, Columns>(sum, a, aRow, right, simd::Full{});
        a += kWidth;
        right.advance(kWidth);
    }
    if (depth > 0) addDots<Count, Columns>(sum, a, aRow, right, simd::Part{static_cast<int>(depth)});
    float all[kWidth];
    simd::store(all, simd::sumsOfLanes(sum));
    std::copy_n(all, Count * Columns, results);
}

// c[i * cRow + j * cColumn] (+)= a_i . b_j.
struct Dots {
    int64_t depth;
    const float* a;
    int64_t aRow;
    const float* b;
    int64_t bColumn;
    float* c;
    int64_t cRow, cColumn;
    bool accumulate;

    template <int Count, int Columns>
    void tile(int64_t row, int64_t column) const {
        constexpr int64_t kDotPiece = kPiece * kWidth;  // a lane sums as many as elsewhere
        float results[Count * Columns];
        for (int64_t k = 0; k < depth; k += kDotPiece) {
            dotTile<Count, Columns>(std::min(kDotPiece, depth - k), a + row * aRow + k, aRow,
                                    b + column * bColumn + k, bColumn, results);
            for (int i = 0; i < Count; i++) {
                for (int j = 0; j < Columns; j++) {
                    float& to = c[(row + i) * cRow + (column + j) * cColumn];
                    to = results[i * Columns + j] + (accumulate || k > 0 ? to : 0);
                }
            }
        }
    }

    template <int Count>
    void columns(int64_t row, int64_t begin, int64_t end) const {
        constexpr int kTogether = kWidth / Count;
        for (; begin + kTogether <= end; begin += kTogether) tile<Count, kTogether>(row, begin);
        for (; begin < end; begin++) tile<Count, 1>(row, begin);
    }

    // A few columns for all rows, and then the next few: b is read once.
    void run(int64_t rows, int64_t count) const {
        constexpr int64_t kTogether = 64;
        for (int64_t begin = 0; begin < count; begin += kTogether) {
            const int64_t end = std::min(count, begin + kTogether);
            int64_t i = 0;
            for (; i + 4 <= rows; i += 4) columns<4>(i, begin, end);
            if (rows - i == 3) columns<3>(i, begin, end);
            if (rows - i == 2) columns<2>(i, begin, end);
            if (rows - i == 1) columns<1>(i, begin, end);
        }
    }
};

// --- otherwise tiles of rows by vectors of columns

// b in panels of kColumns columns that lie `panel` apart, their rows `step`.
struct Panels {
    const float* data;
    int64_t panel, step;
};

// Columns of b, which lie along the depth, as rows of kColumns; `count` of them from `columns` on.
void packPanel(float* to, const float* columns, int64_t columnStep, int64_t count, int64_t depth) {
    for (int64_t j = 0; j < count; j += kWidth) {
        const int64_t width = std::min<int64_t>(kWidth, count - j);
        simd::forLanes<float>(depth, [&](int64_t k, auto lanes) {
            V lines[kWidth] = {};
            for (int64_t i = 0; i < width; i++)
                lines[i] = simd::load(columns + (j + i) * columnStep + k, lanes);
            simd::transpose(lines);
            for (int64_t i = 0; i < std::min<int64_t>(kWidth, depth - k); i++)
                simd::store(to + (k + i) * kColumns + j, lines[i]);
        });
    }
}

Panels panelsOf(const Operand& b, int64_t columns, int64_t depth) {
    if (b.columnStep == 1) return {b.data, kColumns, b.rowStep};
    const int64_t count = (columns + kColumns - 1) / kColumns, panel = depth * kColumns;
    const size_t bytes = static_cast<size_t>(count * panel) * sizeof(float);
    auto* const packed = static_cast<float*>(scratch(0, bytes));
    for (int64_t p = 0; p < count; p++) {
        packPanel(packed + p * panel, b.data + p * kColumns * b.columnStep, b.columnStep,
                  std::min<int64_t>(kColumns, columns - p * kColumns), depth);
    }
    return {packed, panel, kColumns};
}

// For so few rows wider tiles, of rows of b as they are in memory: enough sums are under way then.
constexpr int kWideRows = 3, kWideVectors = kRows > 6 ? 4 : 3;

// The columns that make up whole wide tiles; says how many those are.
int64_t wideTiles(int64_t rows, int64_t columns, int64_t depth, const Operand& a, const Panels& b,
                  const Result& c) {
    static constexpr Tile<simd::Full> kTiles[kWideRows] = {tile<1, kWideVectors>, tile<2, kWideVectors>,
                                                           tile<3, kWideVectors>};
    constexpr int64_t kTogether = kWideVectors * kWidth;
    int64_t j = 0;
    for (; j + kTogether <= columns; j += kTogether) {
        for (int64_t k = 0; k < depth; k += kPiece) {
            kTiles[rows - 1](std::min(kPiece, depth - k), a.data + k * a.columnStep, a.rowStep, a.columnStep,
                             b.data + k * b.step + j, b.step, c.data + j, c.rowStep, c.accumulate || k > 0,
                             {});
        }
    }
    return j;
}

}  // namespace

void multiply(int64_t rows, int64_t columns, int64_t depth, const Operand& a, const Operand& b,
              const Result& c) {
    // Rows up to which b is read for every few of them rather than brought into panels, and columns up to
    // which vectors of them would be mostly empty.
    constexpr int64_t kDotRows = 8, kDotColumns = 4;
    // Any step will do where there is only one.
    const Operand left{a.data, a.rowStep, depth == 1 ? 1 : a.columnStep};
    const Operand right{b.data, depth == 1 ? 1 : b.rowStep, columns == 1 ? 1 : b.columnStep};
    const bool along = left.columnStep == 1 && right.rowStep == 1;
    if (along && rows <= kDotRows) {
        Dots{depth, a.data, a.rowStep, b.data, b.columnStep, c.data, c.rowStep, 1, c.accumulate}.run(rows,
                                                                                                     columns);
    } else if (along && columns <= kDotColumns) {
        Dots{depth, b.data, b.columnStep, a.data, a.rowStep, c.data, 1, c.rowStep, c.accumulate}.run(columns,
                                                                                                     rows);
    } else {
        const Panels panels = panelsOf(right, columns, depth);
        const bool wide = rows <= kWideRows && right.columnStep == 1;
        const int64_t done = wide ? wideTiles(rows, columns, depth, left, panels, c) : 0;
        product<simd::Part>(rows, columns - done, depth, left.data, left.rowStep, left.columnStep,
                            panels.data + done, panels.panel, panels.step, c.data + done, c.rowStep,
                            c.accumulate, kPiece);
    }
}

}  // namespace anneal::cpu::gemm
