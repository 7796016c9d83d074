#pragma once

#include "cuda/row_teams.h"
#include "cuda/split.h"
#include "cuda/submit.h"

// Channels-last pictures [batch, channels, height, width], gone through in packs of neighbouring channels.
namespace anneal::cuda {

struct PictureSizes {
    int64_t batch, channels, height, width;
    explicit PictureSizes(const View& view)
        : batch(view.sizes[0]), channels(view.sizes[1]), height(view.sizes[2]), width(view.sizes[3]) {}
    __device__ int64_t offset(int64_t picture, int64_t y, int64_t x) const {
        return ((picture * height + y) * width + x) * channels;
    }
};

// Numbers the packs of a picture in the order of memory.
struct PackWalk {
    struct Place {
        int64_t picture, y, x, channel;
    };
    int64_t count;
    Split packs, width, height;

    // `perPack` divides the channels, or is their number rounded up to what one thread takes.
    PackWalk(const PictureSizes& sizes, int64_t perPack) {
        const int64_t inPixel = (sizes.channels + perPack - 1) / perPack;
        count = sizes.batch * sizes.height * sizes.width * inPixel;
        packs = Split(inPixel, count);
        width = Split(sizes.width, count);
        height = Split(sizes.height, count);
    }
    // `channel` counts packs.
    __device__ Place at(int64_t i) const {
        Place place;
        place.channel = packs.take(i);
        place.x = width.take(i);
        place.y = height.take(i);
        place.picture = i;
        return place;
    }
};

// Where outputs are few and each takes much: the threads of a block are `lanes` outputs by `slices` that
// share out what each output takes.
struct SlicedGrid {
    bool sliced;
    Grid grid;

    SlicedGrid(int64_t outputs, int64_t work, size_t stateBytes) {
        constexpr unsigned kLanes = 32, kSlices = 8;
        sliced = work >= 2 * kSlices && work < (int64_t{1} << 31) && outputs < (int64_t{1} << 16);
        if (sliced) {
            grid = gridFor(outputs, kLanes);
            grid.threads = dim3(kLanes, kSlices);
            grid.sharedBytes = kLanes * kSlices * stateBytes;
        } else {
            grid = gridFor(outputs);
        }
    }
};

// The sums of all slices of an output, for the first slice.
template <int kPack, typename C>
__device__ inline void sumOverSlices(C (&sums)[kPack]) {
    C* const scratch = sharedMemory<C>();
    const unsigned row = blockDim.x * kPack, own = threadIdx.x * kPack;
#pragma unroll
    for (int k = 0; k < kPack; k++) scratch[threadIdx.y * row + own + k] = sums[k];
    __syncthreads();
    if (threadIdx.y == 0) {
        for (unsigned slice = 1; slice < blockDim.y; slice++) {
#pragma unroll
            for (int k = 0; k < kPack; k++) sums[k] += scratch[slice * row + own + k];
        }
    }
    __syncthreads();
}

}  // namespace anneal::cuda
