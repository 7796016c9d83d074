#include "core/words.h"
#include "cpu/kernels.h"
#include "cpu/parallel.h"

// Channels become pixels and back (Shi et al. 2016): wide[n, c, y r + i, x r + j] is deep[n, (c r + i) r + j,
// y, x]. Moves, whatever the dtype, so the elements are plain words of its size.
namespace anneal::cpu {

namespace {

template <typename Word, bool toWide>
void move(Word* wide, Word* deep, int64_t rows, int64_t width, int64_t channels, int64_t factor) {
    const int64_t area = factor * factor, lineSize = width * channels * factor;
    // `row` counts the rows of the wide pictures: `factor` of them share a row of the deep ones.
    parallelFor(rows, std::max<int64_t>(1, kGrain / lineSize), [=](int64_t begin, int64_t end) {
        for (int64_t row = begin; row < end; row++) {
            const int64_t i = row % factor;
            Word* line = wide + row * lineSize;
            for (int64_t x = 0; x < width; x++) {
                Word* const pixel = deep + (row / factor * width + x) * channels * area + i * factor;
                for (int64_t j = 0; j < factor; j++, line += channels) {
                    for (int64_t c = 0; c < channels; c++) {
                        if constexpr (toWide) {
                            line[c] = pixel[c * area + j];
                        } else {
                            pixel[c * area + j] = line[c];
                        }
                    }
                }
            }
        }
    });
}

template <bool toWide>
void enqueueMove(Context& context, const char* op, const View& wide, const View& deep, int64_t factor) {
    const int64_t rows = wide.sizes[0] * wide.sizes[2], width = deep.sizes[3], channels = wide.sizes[1];
    dispatchSize(wide.dtype, [&](auto word) {
        using Word = decltype(word);
        Word *const w = wide.as<Word>(), *const d = deep.as<Word>();
        context.enqueue(op, [=] { move<Word, toWide>(w, d, rows, width, channels, factor); });
    });
}

}  // namespace

void pixelShuffle(Context& context, const View& wide, const View& deep, int64_t factor) {
    enqueueMove<true>(context, "pixelShuffle", wide, deep, factor);
}

void pixelUnshuffle(Context& context, const View& deep, const View& wide, int64_t factor) {
    enqueueMove<false>(context, "pixelUnshuffle", wide, deep, factor);
}

}  // namespace anneal::cpu
