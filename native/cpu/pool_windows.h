#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/parallel.h"

// Which pixels a pooling's windows lie on, and which windows lie on a pixel.
namespace anneal::cpu::pool {

// The taps [first, last) of a window that fall on the input; tap t reads position begin + t * dilation.
struct Window {
    int64_t begin;
    int32_t first, last;
    int64_t extent;  // what the window counts for in an average
};

// A window that covers an input position, and the tap it reads it with; `offset` and `tap` are already
// multiplied by what the caller steps with.
struct Cover {
    int64_t offset;
    int32_t output, tap;
};

// One dimension of a pooling: its windows, and for each input position the windows that cover it.
struct Axis {
    int64_t input, dilation = 1;
    int32_t taps = 0;
    std::vector<Window> windows;
    std::vector<Cover> covers;
    std::vector<int32_t> coverOffsets;
    int32_t mostCovers = 0;
    int64_t wholeBegin = 0, wholeEnd = 0;  // the outputs whose windows lie on the input with all their taps

    Axis(int64_t input, int64_t output, const PoolGeometry& geometry, int dim)
        : input(input), windows(output) {
        for (int64_t o = 0; o < output; o++) {
            Window& window = windows[o];
            if (geometry.adaptive) {
                window.begin = o * input / output;
                window.first = 0;
                window.last = static_cast<int32_t>(((o + 1) * input + output - 1) / output - window.begin);
                window.extent = window.last;
                taps = std::max(taps, window.last);
                continue;
            }
            const int64_t kernel = geometry.kernel[dim], padding = geometry.padding[dim];
            dilation = geometry.dilation[dim];
            taps = static_cast<int32_t>(kernel);
            window.begin = o * geometry.stride[dim] - padding;
            const int64_t first = window.begin < 0 ? (-window.begin + dilation - 1) / dilation : 0;
            const int64_t last = window.begin < input ? (input - window.begin + dilation - 1) / dilation : 0;
            window.last = static_cast<int32_t>(std::min(last, kernel));
            window.first = static_cast<int32_t>(std::min<int64_t>(first, window.last));
            window.extent = geometry.countPadding
                                ? std::min(window.begin + kernel, input + padding) - window.begin
                                : window.last - window.first;
            if (window.first == 0 && window.last == kernel) {
                if (wholeEnd == 0) wholeBegin = o;
                wholeEnd = o + 1;
            }
        }
    }

    void findCovers(int64_t step, int32_t tapStep) {
        coverOffsets.assign(input + 1, 0);
        const auto forTaps = [&](const auto& body) {
            for (size_t o = 0; o < windows.size(); o++) {
                for (int32_t t = windows[o].first; t < windows[o].last; t++) {
                    body(windows[o].begin + t * dilation,
                         Cover{static_cast<int64_t>(o) * step, static_cast<int32_t>(o), t * tapStep});
                }
            }
        };
        forTaps([&](int64_t position, Cover) { coverOffsets[position + 1]++; });
        for (int64_t i = 0; i < input; i++) {
            mostCovers = std::max(mostCovers, coverOffsets[i + 1]);
            coverOffsets[i + 1] += coverOffsets[i];
        }
        covers.resize(coverOffsets[input]);
        std::vector<int32_t> next(coverOffsets.begin(), coverOffsets.end() - 1);
        forTaps([&](int64_t position, Cover cover) { covers[next[position]++] = cover; });
    }
    struct Covers {
        const Cover *first, *last;
        const Cover* begin() const { return first; }
        const Cover* end() const { return last; }
    };
    Covers coversOf(int64_t position) const {
        return {covers.data() + coverOffsets[position], covers.data() + coverOffsets[position + 1]};
    }
};

struct Picture {
    int64_t batch, channels, height, width;
    explicit Picture(const View& view)
        : batch(view.sizes[0]), channels(view.sizes[1]), height(view.sizes[2]), width(view.sizes[3]) {}
};

// Rows of a picture per chunk, so that a chunk is worth handing out.
inline int64_t rowGrain(const Picture& picture, int64_t work) {
    return std::max<int64_t>(1, 4 * kGrain / std::max<int64_t>(1, picture.width * picture.channels * work));
}

}  // namespace anneal::cpu::pool
