#include "core/shape.h"

#include <algorithm>

#include "core/error.h"

namespace anneal {

void Dims::push(int64_t value) {
    CHECK_SHAPE(size_ < kMaxDims, "a tensor has at most ", kMaxDims, " dimensions");
    values_[size_++] = value;
}

void Dims::insert(int position, int64_t value) {
    push(0);
    for (int i = size_ - 1; i > position; i--) values_[i] = values_[i - 1];
    values_[position] = value;
}

void Dims::erase(int position) {
    for (int i = position; i + 1 < size_; i++) values_[i] = values_[i + 1];
    values_[--size_] = 0;
}

std::string Dims::toString() const {
    std::string text = "[";
    for (int i = 0; i < size_; i++) {
        if (i > 0) text += ", ";
        text += std::to_string(values_[i]);
    }
    return text + "]";
}

int64_t numelOf(const Dims& sizes) {
    int64_t count = 1;
    for (int64_t size : sizes) {
        CHECK_SHAPE(size >= 0, "a size is negative in ", sizes.toString());
        CHECK_SHAPE(!__builtin_mul_overflow(count, size, &count), "too many elements: ", sizes.toString());
    }
    return count;
}

Dims contiguousStrides(const Dims& sizes) {
    Dims strides = Dims::filled(sizes.size(), 1);
    int64_t stride = 1;
    for (int i = sizes.size() - 1; i >= 0; i--) {
        strides[i] = stride;
        // Sizes that no memory could hold are refused by numelOf; here they may not overflow.
        if (__builtin_mul_overflow(stride, std::max<int64_t>(sizes[i], 1), &stride)) stride = 0;
    }
    return strides;
}

Dims channelsLastStrides(const Dims& sizes) {
    const Dims strides = contiguousStrides(Dims{sizes[0], sizes[2], sizes[3], sizes[1]});
    return Dims{strides[0], strides[3], strides[1], strides[2]};
}

// Strides of dimensions of size one carry no meaning.
static bool matches(const Dims& sizes, const Dims& strides, const Dims& wanted) {
    for (int i = 0; i < sizes.size(); i++) {
        if (sizes[i] == 0) return true;
    }
    for (int i = 0; i < sizes.size(); i++) {
        if (sizes[i] != 1 && strides[i] != wanted[i]) return false;
    }
    return true;
}

bool isContiguous(const Dims& sizes, const Dims& strides) {
    return matches(sizes, strides, contiguousStrides(sizes));
}

bool isChannelsLast(const Dims& sizes, const Dims& strides) {
    return sizes.size() == 4 && matches(sizes, strides, channelsLastStrides(sizes));
}

bool isDense(const Dims& sizes, const Dims& strides) {
    if (isContiguous(sizes, strides)) return true;
    int order[kMaxDims];
    int count = 0;
    for (int i = 0; i < sizes.size(); i++) {
        if (sizes[i] == 1) continue;
        int at = count++;
        for (; at > 0 && strides[order[at - 1]] > strides[i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    int64_t expected = 1;
    for (int i = 0; i < count; i++) {
        if (strides[order[i]] != expected) return false;
        expected *= sizes[order[i]];
    }
    return true;
}

Dims broadcastSizes(const char* op, const Dims& a, const Dims& b) {
    if (a == b) return a;
    const int count = std::max(a.size(), b.size());
    Dims result = Dims::filled(count, 1);
    for (int i = 0; i < count; i++) {
        const int ia = i - (count - a.size()), ib = i - (count - b.size());
        const int64_t sizeA = ia >= 0 ? a[ia] : 1, sizeB = ib >= 0 ? b[ib] : 1;
        CHECK_SHAPE(sizeA == sizeB || sizeA == 1 || sizeB == 1, op, ": shapes ", a.toString(), " and ",
                    b.toString(), " cannot be broadcast together (dimension ", i, ": ", sizeA, " against ",
                    sizeB, ")");
        result[i] = sizeA == 1 ? sizeB : sizeA;
    }
    return result;
}

int wrapDim(const char* op, int64_t dim, int count) {
    const int64_t limit = std::max(count, 1);
    CHECK_SHAPE(dim >= -limit && dim < limit, op, ": dimension ", dim, " is out of range [", -limit, ", ",
                limit - 1, "]");
    return static_cast<int>(dim < 0 ? dim + limit : dim);
}

}  // namespace anneal
