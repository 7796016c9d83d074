#include "cuda/submit.h"
#include "cuda/walk.h"

namespace anneal::cuda {

namespace {

template <typename Word>
__global__ void choose(Walk<4> walk) {
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[4];
        walk.offsets(i, offset);
        const bool chosen = walk.template at<const bool>(1, offset[1]);
        walk.template at<Word>(0, offset[0]) =
            chosen ? walk.template at<const Word>(2, offset[2]) : walk.template at<const Word>(3, offset[3]);
    }
}

}  // namespace

void where(Context& context, const View& out, const View& condition, const View& a, const View& b) {
    submit(context, "where", [=](CudaRuntime& runtime) {
        const Walk<4> walk({out, condition, a, b});
        if (walk.numel == 0) return;
        const Grid grid = gridFor(walk.numel);
        switch (dtypeSize(out.dtype)) {
            case 1:
                return launch(choose<uint8_t>, grid, runtime.stream(), walk);
            case 2:
                return launch(choose<uint16_t>, grid, runtime.stream(), walk);
            case 4:
                return launch(choose<uint32_t>, grid, runtime.stream(), walk);
            default:
                return launch(choose<uint64_t>, grid, runtime.stream(), walk);
        }
    });
}

}  // namespace anneal::cuda
