#pragma once

#include <cstdint>
#include <vector>

#include "core/tensor.h"

// What the convolutions read and write.
namespace anneal::cpu {

// A stack of pictures, channels-last.
template <typename T>
struct Pictures {
    T* data;
    int64_t count, channels, height, width;

    explicit Pictures(const View& view)
        : data(view.as<T>()),
          count(view.sizes[0]),
          channels(view.sizes[1]),
          height(view.sizes[2]),
          width(view.sizes[3]) {}
    T* at(int64_t n, int64_t row, int64_t column) const {
        return data + ((n * height + row) * width + column) * channels;
    }
};

// A pixel of zeros, for what lies outside.
template <typename T>
const T* zeros(int64_t channels) {
    thread_local std::vector<T> row;
    if (static_cast<int64_t>(row.size()) < channels) row.assign(static_cast<size_t>(channels), T(0.0f));
    return row.data();
}

}  // namespace anneal::cpu
