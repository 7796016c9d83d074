// Channels become pixels and back (Shi et al. 2016): wide[n, c, y r + i, x r + j] is deep[n, (c r + i) r + j,
// y, x]. Moves, whatever the dtype, so the elements are plain words of its size. A thread takes a channel of
// a pixel: r r words that lie together in the deep picture, and in the wide one beside those of the next
// thread.
#include "core/words.h"
#include "cuda/pixels.h"

namespace anneal::cuda {

namespace {

// kTogether: the words of a thread are moved at once in the deep picture (factor 2), or one by one.
template <bool toWide, bool kTogether, typename Word>
__global__ void movePixels(Word* wide, Word* deep, PictureSizes deepSizes, int64_t channels, int64_t factor,
                           PackWalk walk) {
    const int64_t area = factor * factor, lineSize = deepSizes.width * channels * factor;
    for (int64_t i = globalThread(); i < walk.count; i += globalThreads()) {
        const PackWalk::Place place = walk.at(i);
        Word* const words = deep + i * area;
        Word* const corner = wide + (place.picture * deepSizes.height + place.y) * factor * lineSize +
                             place.x * factor * channels + place.channel;
        if constexpr (kTogether) {
            auto* const four = reinterpret_cast<Pack<Word, 4>*>(words);
            Word* const below = corner + lineSize;
            if constexpr (toWide) {
                const Pack<Word, 4> pack = *four;
                corner[0] = pack.values[0];
                corner[channels] = pack.values[1];
                below[0] = pack.values[2];
                below[channels] = pack.values[3];
            } else {
                *four = Pack<Word, 4>{corner[0], corner[channels], below[0], below[channels]};
            }
        } else {
            for (int64_t y = 0; y < factor; y++) {
                for (int64_t x = 0; x < factor; x++) {
                    Word& one = words[y * factor + x];
                    Word& other = corner[y * lineSize + x * channels];
                    if constexpr (toWide) {
                        other = one;
                    } else {
                        one = other;
                    }
                }
            }
        }
    }
}

template <bool toWide>
void enqueueMove(Context& context, const char* op, const View& wide, const View& deep, int64_t factor) {
    submit(context, op, [=](CudaRuntime& runtime) {
        const int64_t channels = wide.sizes[1];
        const PictureSizes sizes(deep);
        const PackWalk walk(sizes, factor * factor);
        dispatchSize(wide.dtype, [&](auto word) {
            using Word = decltype(word);
            const auto move = [&](auto kernel) {
                launch(kernel, gridFor(walk.count), runtime.stream(), wide.as<Word>(), deep.as<Word>(), sizes,
                       channels, factor, walk);
            };
            if constexpr (sizeof(Word) <= 4) {
                if (factor == 2 && isPacked(deep.data)) return move(movePixels<toWide, true, Word>);
            }
            move(movePixels<toWide, false, Word>);
        });
    });
}

}  // namespace

void pixelShuffle(Context& context, const View& wide, const View& deep, int64_t factor) {
    enqueueMove<true>(context, "pixelShuffle", wide, deep, factor);
}

void pixelUnshuffle(Context& context, const View& deep, const View& wide, int64_t factor) {
    enqueueMove<false>(context, "pixelUnshuffle", wide, deep, factor);
}

}  // namespace anneal::cuda
