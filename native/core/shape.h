#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

namespace anneal {

constexpr int kMaxDims = 8;

// Sizes or strides of a tensor: a small vector that never allocates.
class Dims {
  public:
    Dims() = default;
    Dims(std::initializer_list<int64_t> values) {
        for (int64_t value : values) push(value);
    }
    static Dims filled(int count, int64_t value) {
        Dims dims;
        for (int i = 0; i < count; i++) dims.push(value);
        return dims;
    }

    int size() const { return size_; }
    bool empty() const { return size_ == 0; }
    int64_t& operator[](int i) { return values_[i]; }
    int64_t operator[](int i) const { return values_[i]; }
    int64_t* begin() { return values_; }
    int64_t* end() { return values_ + size_; }
    const int64_t* begin() const { return values_; }
    const int64_t* end() const { return values_ + size_; }
    int64_t back() const { return values_[size_ - 1]; }
    // Throws a ShapeError past kMaxDims.
    void push(int64_t value);
    void insert(int position, int64_t value);
    void erase(int position);

    bool operator==(const Dims& other) const {
        if (size_ != other.size_) return false;
        for (int i = 0; i < size_; i++) {
            if (values_[i] != other.values_[i]) return false;
        }
        return true;
    }
    bool operator!=(const Dims& other) const { return !(*this == other); }

    std::string toString() const;  // [2, 3, 4]

  private:
    int64_t values_[kMaxDims] = {};
    int size_ = 0;
};

int64_t numelOf(const Dims& sizes);
Dims contiguousStrides(const Dims& sizes);
// Strides of an [N, C, H, W] tensor that lies in memory as N, H, W, C.
Dims channelsLastStrides(const Dims& sizes);
bool isContiguous(const Dims& sizes, const Dims& strides);
bool isChannelsLast(const Dims& sizes, const Dims& strides);
// True when the elements fill a block of memory without gap or overlap, in whatever order of dimensions.
bool isDense(const Dims& sizes, const Dims& strides);
// NumPy's broadcasting; throws a ShapeError that names `op` and both shapes.
Dims broadcastSizes(const char* op, const Dims& a, const Dims& b);
// Maps -1 to the last dimension; throws a ShapeError out of range.
int wrapDim(const char* op, int64_t dim, int count);

}  // namespace anneal
