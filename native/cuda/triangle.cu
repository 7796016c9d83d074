#include "core/words.h"
#include "cuda/submit.h"
#include "cuda/walk.h"

namespace anneal::cuda {

namespace {

template <typename Word>
__global__ void keepTriangle(Word* out, Walk<2> walk, int64_t rows, int64_t columns, int64_t diagonal,
                             bool upper) {
    // `out` lies in the order of the indices, and so does the walk's first operand.
    for (int64_t i = globalThread(); i < walk.numel; i += globalThreads()) {
        int64_t offset[2];
        walk.offsets(i, offset);
        const int64_t place = offset[0] / static_cast<int64_t>(sizeof(Word));
        const int64_t column = place % columns, row = place / columns % rows;
        const bool keeps = upper ? column >= row + diagonal : column <= row + diagonal;
        out[place] = keeps ? walk.template at<const Word>(1, offset[1]) : Word{};
    }
}

}  // namespace

void triangle(Context& context, const View& out, const View& input, int64_t diagonal, bool upper) {
    submit(context, upper ? "triu" : "tril", [=](CudaRuntime& runtime) {
        const Walk<2> walk({out, input});
        if (walk.numel == 0) return;
        const int64_t columns = out.sizes[out.dims() - 1], rows = out.sizes[out.dims() - 2];
        dispatchSize(out.dtype, [&](auto word) {
            using Word = decltype(word);
            launch(keepTriangle<Word>, gridFor(walk.numel), runtime.stream(), out.as<Word>(), walk, rows,
                   columns, diagonal, upper);
        });
    });
}

}  // namespace anneal::cuda
