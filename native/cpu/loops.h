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

    explicit LoopPlan(const std::array<View, N>& operands) {
        const View& lead = operands[0];
        int order[kMaxDims];
        int count = 0;
        for (int i = lead.dims() - 1; i >= 0; i--) {
            numel *= lead.sizes[i];
            if (lead.sizes[i] != 1) order[count++] = i;
        }
        // Insertion sort by the output's strides keeps ties in logical order.
        for (int i = 1; i < count; i++) {
            for (int j = i; j > 0 && lead.strides[order[j]] < lead.strides[order[j - 1]]; j--) {
                std::swap(order[j], order[j - 1]);
            }
        }
        for (int n = 0; n < N; n++) data[n] = static_cast<char*>(operands[n].data);
        for (int k = 0; k < count; k++) {
            int64_t step[N];
            for (int n = 0; n < N; n++) {
                const View& operand = operands[n];
                const int shift = operand.dims() - lead.dims();  // missing leading dimensions broadcast
                const int index = order[k] + shift;
                const bool repeated = index < 0 || operand.sizes[index] == 1;
                step[n] =
                    repeated ? 0 : operand.strides[index] * static_cast<int64_t>(dtypeSize(operand.dtype));
            }
            bool merge = dims > 0;
            for (int n = 0; n < N && merge; n++) merge = step[n] == strides[n][dims - 1] * sizes[dims - 1];
            if (merge) {
                sizes[dims - 1] *= lead.sizes[order[k]];
            } else {
                sizes[dims] = lead.sizes[order[k]];
                for (int n = 0; n < N; n++) strides[n][dims] = step[n];
                dims++;
            }
        }
        if (dims == 0) {
            dims = 1;
            sizes[0] = numel;
            for (int n = 0; n < N; n++) strides[n][0] = 0;
        }
    }

    // Calls row(pointers, byteStrides, count) for the rows that cover the linear range [begin, end).
    template <typename Row>
    void range(int64_t begin, int64_t end, const Row& row) const {
        int64_t index[kMaxDims];
        char* pointers[N];
        int64_t rest = begin;
        for (int n = 0; n < N; n++) pointers[n] = data[n];
        for (int k = 0; k < dims; k++) {
            index[k] = rest % sizes[k];
            rest /= sizes[k];
            for (int n = 0; n < N; n++) pointers[n] += index[k] * strides[n][k];
        }
        int64_t steps[N];
        for (int n = 0; n < N; n++) steps[n] = strides[n][0];
        while (begin < end) {
            const int64_t count = std::min(sizes[0] - index[0], end - begin);
            row(pointers, steps, count);
            begin += count;
            if (begin >= end) break;
            for (int n = 0; n < N; n++) pointers[n] -= index[0] * strides[n][0];
            index[0] = 0;
            for (int k = 1; k < dims; k++) {
                for (int n = 0; n < N; n++) pointers[n] += strides[n][k];
                if (++index[k] < sizes[k]) break;
                for (int n = 0; n < N; n++) pointers[n] -= sizes[k] * strides[n][k];
                index[k] = 0;
            }
        }
    }

    template <typename Row>
    void run(const Row& row) const {
        parallelFor(numel, kGrain, [&](int64_t begin, int64_t end) { range(begin, end, row); });
    }
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
