#pragma once

#include <array>
#include <cstdint>

#include "core/tensor.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

// How N operands of one (broadcast) shape are walked together: dimensions ordered by the first operand's
// memory, neighbours merged where every operand allows it. One dimension remains for dense operands of equal
// order.
template <int N>
struct LoopPlan {
    int dims = 0;
    int64_t sizes[kMaxDims];       // innermost first
    int64_t strides[N][kMaxDims];  // in bytes, innermost first
    char* data[N];
    int64_t numel = 1;

    explicit LoopPlan(const std::array<View, N>& operands);

    // Calls row(pointers, byteStrides, count) for the rows that cover the linear range [begin, end).
    template <typename Row>
    void range(int64_t begin, int64_t end, const Row& row) const {
        walk(begin, end, &call<Row>, &row);
    }

    // All of it, in chunks over the team when it is large.
    template <typename Row>
    void run(const Row& row) const {
        runRows(&call<Row>, &row);
    }

  private:
    // The walk is compiled once for each N (loops.cpp) and knows rows by pointer: inlined into each of the
    // thousand instantiations of the kernels it would multiply the time to compile them.
    using RowCall = void (*)(const void* row, char* const* pointers, const int64_t* steps, int64_t count);

    template <typename Row>
    static void call(const void* row, char* const* pointers, const int64_t* steps, int64_t count) {
        (*static_cast<const Row*>(row))(pointers, steps, count);
    }

    void walk(int64_t begin, int64_t end, RowCall call, const void* row) const;
    void runRows(RowCall call, const void* row) const;
};

// out[i] = f(a[i]) over any strides, with a vectorisable loop for dense rows.
template <typename Out, typename A, typename F>
void mapUnary(const View& out, const View& a, const F& f) {
    LoopPlan<2>({out, a}).run([&](char* const* p, const int64_t* s, int64_t count) {
        auto* o = reinterpret_cast<Out*>(p[0]);
        const auto* x = reinterpret_cast<const A*>(p[1]);
        if (s[0] == sizeof(Out) && s[1] == sizeof(A)) {
            for (int64_t i = 0; i < count; i++) o[i] = f(x[i]);
        } else {
            for (int64_t i = 0; i < count; i++) {
                *reinterpret_cast<Out*>(p[0] + i * s[0]) = f(*reinterpret_cast<const A*>(p[1] + i * s[1]));
            }
        }
    });
}

// out[i] = f(a[i], b[i]); rows in which one side is a single value are hoisted out of the loop.
template <typename Out, typename A, typename B, typename F>
void mapBinary(const View& out, const View& a, const View& b, const F& f) {
    LoopPlan<3>({out, a, b}).run([&](char* const* p, const int64_t* s, int64_t count) {
        auto* o = reinterpret_cast<Out*>(p[0]);
        const auto* x = reinterpret_cast<const A*>(p[1]);
        const auto* y = reinterpret_cast<const B*>(p[2]);
        const bool dense = s[0] == sizeof(Out);
        if (dense && s[1] == sizeof(A) && s[2] == sizeof(B)) {
            for (int64_t i = 0; i < count; i++) o[i] = f(x[i], y[i]);
        } else if (dense && s[1] == sizeof(A) && s[2] == 0) {
            const B value = *y;
            for (int64_t i = 0; i < count; i++) o[i] = f(x[i], value);
        } else if (dense && s[1] == 0 && s[2] == sizeof(B)) {
            const A value = *x;
            for (int64_t i = 0; i < count; i++) o[i] = f(value, y[i]);
        } else {
            for (int64_t i = 0; i < count; i++) {
                *reinterpret_cast<Out*>(p[0] + i * s[0]) = f(*reinterpret_cast<const A*>(p[1] + i * s[1]),
                                                             *reinterpret_cast<const B*>(p[2] + i * s[2]));
            }
        }
    });
}

// out[i] = f(a[i], b[i], c[i]).
template <typename Out, typename A, typename B, typename C, typename F>
void mapTernary(const View& out, const View& a, const View& b, const View& c, const F& f) {
    LoopPlan<4>({out, a, b, c}).run([&](char* const* p, const int64_t* s, int64_t count) {
        for (int64_t i = 0; i < count; i++) {
            *reinterpret_cast<Out*>(p[0] + i * s[0]) =
                f(*reinterpret_cast<const A*>(p[1] + i * s[1]), *reinterpret_cast<const B*>(p[2] + i * s[2]),
                  *reinterpret_cast<const C*>(p[3] + i * s[3]));
        }
    });
}

}  // namespace anneal::cpu
