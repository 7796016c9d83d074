#include "cpu/loops.h"

#include <algorithm>
#include <utility>

namespace anneal::cpu {

template <int N>
LoopPlan<N>::LoopPlan(const std::array<View, N>& operands) {
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
            step[n] = repeated ? 0 : operand.strides[index] * static_cast<int64_t>(dtypeSize(operand.dtype));
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
    // Rows of a few elements (the colours of a picture) would spend their time on being started.
    if (dims > 1 && sizes[0] < 8 && sizes[1] >= 4 * sizes[0]) {
        std::swap(sizes[0], sizes[1]);
        for (int n = 0; n < N; n++) std::swap(strides[n][0], strides[n][1]);
    }
}

template <int N>
void LoopPlan<N>::walk(int64_t begin, int64_t end, RowCall call, const void* row) const {
    if (begin >= end) return;  // of no elements a dimension may have size 0, which nothing can be divided by
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
        call(row, pointers, steps, count);
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

template <int N>
void LoopPlan<N>::runRows(RowCall call, const void* row) const {
    parallelFor(numel, kGrain, [&](int64_t begin, int64_t end) { walk(begin, end, call, row); });
}

template struct LoopPlan<1>;
template struct LoopPlan<2>;
template struct LoopPlan<3>;
template struct LoopPlan<4>;

}  // namespace anneal::cpu
