#include "cpu/gemm.h"

#include <cmath>
#include <random>
#include <vector>

#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

// Small products of matrices beside sums in double precision: at every edge of the tiles, with either side in
// rows or in columns, in memory that ends where the matrix does (which the sanitizers see).

namespace {

using anneal::cpu::gemm::multiply;
using anneal::cpu::gemm::Operand;

std::vector<float> randomFloats(int64_t count) {
    static std::mt19937 generator(0);
    std::uniform_real_distribution<float> values(-1, 1);
    std::vector<float> result(static_cast<size_t>(count));
    for (float& value : result) value = values(generator);
    return result;
}

struct Matrix {
    std::vector<float> values;
    int64_t rowStep, columnStep;
    Matrix(int64_t rows, int64_t columns, bool inRows)
        : values(randomFloats(rows * columns)),
          rowStep(inRows ? columns : 1),
          columnStep(inRows ? 1 : rows) {}
    Operand operand() const { return {values.data(), rowStep, columnStep}; }
    double at(int64_t row, int64_t column) const { return values[row * rowStep + column * columnStep]; }
};

void compare(int64_t rows, int64_t columns, int64_t depth, bool aInRows, bool bInRows, bool accumulate) {
    const Matrix a(rows, depth, aInRows), b(depth, columns, bInRows);
    const std::vector<float> before = randomFloats(rows * columns);
    std::vector<float> c = before;
    multiply(rows, columns, depth, a.operand(), b.operand(), {c.data(), columns, accumulate});
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) {
            double sum = accumulate ? before[i * columns + j] : 0, size = 1;
            for (int64_t k = 0; k < depth; k++) {
                sum += a.at(i, k) * b.at(k, j);
                size += std::abs(a.at(i, k) * b.at(k, j));
            }
            const double error = std::abs(c[i * columns + j] - sum);
            if (!(error <= 1e-6 * size)) {
                anneal::test::failCheck(__FILE__, __LINE__, rows, " x ", depth, " by ", depth, " x ", columns,
                                        ", a in ", aInRows ? "rows" : "columns", ", b in ",
                                        bInRows ? "rows" : "columns", accumulate ? ", added" : "", ": ",
                                        c[i * columns + j], " at ", i, ", ", j, " instead of ", sum);
            }
        }
    }
}

TEST("small products of matrices") {
    for (const int64_t rows : {1, 2, 3, 4, 5, 8, 9, 12, 13, 31}) {
        for (const int64_t columns : {1, 3, 4, 5, 15, 16, 17, 32, 33, 64, 100, 131}) {
            for (const int64_t depth : {1, 2, 7, 16, 17, 65, 200}) {
                for (const int order : {0, 1, 2, 3})
                    compare(rows, columns, depth, order & 1, order & 2, (rows + columns + depth) % 2 == 0);
            }
        }
    }
}

TEST("small products of matrices: long sums") {
    for (const int64_t rows : {1, 2, 6, 20}) {
        for (const int64_t columns : {1, 2, 6, 20}) {
            for (const int order : {0, 1, 2, 3}) compare(rows, columns, 7001, order & 1, order & 2, false);
        }
    }
}

}  // namespace
