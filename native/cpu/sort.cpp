// Sorting along one dimension, or finding what comes first.
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

namespace {

// An element in the order that is wanted: by its key, of equal ones the earlier first.
template <typename Word>
struct Ranked {
    Word key, place;
    bool operator<(const Ranked& other) const {
        return key < other.key || (key == other.key && place < other.place);
    }
};

template <typename C>
using WordOf = std::conditional_t<sizeof(C) == 8, uint64_t, uint32_t>;

// Unsigned numbers in the order of the values. NaN comes last, as in PyTorch, and zeros of both signs are
// equal.
template <typename C>
WordOf<C> keyOf(C value) {
    using Word = WordOf<C>;
    if constexpr (std::is_floating_point_v<C>) {
        constexpr Word kSign = Word{1} << (8 * sizeof(Word) - 1);
        if (value != value) return std::numeric_limits<Word>::max();
        value += 0;
        Word bits;
        std::memcpy(&bits, &value, sizeof bits);
        return static_cast<Word>(bits & kSign ? ~bits : bits | kSign);
    } else {
        return static_cast<Word>(static_cast<Word>(value) - static_cast<Word>(std::numeric_limits<C>::min()));
    }
}

constexpr size_t kFew = 256;  // elements for which counting digits costs more than comparing

// By the bytes of the keys, from the lowest on; those that all keys share are left out. Elements come in the
// order of their places. `spare` is as long.
template <typename Word>
void sortByDigits(std::vector<Ranked<Word>>& elements, std::vector<Ranked<Word>>& spare) {
    constexpr size_t kDigits = sizeof(Word), kValues = 256;
    const auto digit = [](Word key, size_t i) { return static_cast<size_t>(key >> (8 * i) & 0xff); };
    size_t starts[kDigits][kValues] = {};
    for (const Ranked<Word>& element : elements) {
        for (size_t i = 0; i < kDigits; i++) starts[i][digit(element.key, i)]++;
    }
    for (size_t i = 0; i < kDigits; i++) {
        if (starts[i][digit(elements[0].key, i)] == elements.size()) continue;
        size_t start = 0;
        for (size_t& count : starts[i]) start += std::exchange(count, start);
        for (const Ranked<Word>& element : elements) spare[starts[i][digit(element.key, i)]++] = element;
        elements.swap(spare);
    }
}

// Brings the first `count` to the front, in order.
template <typename Word>
void sortElements(std::vector<Ranked<Word>>& elements, std::vector<Ranked<Word>>& spare, size_t count) {
    if (count < elements.size() / 64) {
        std::partial_sort(elements.begin(), elements.begin() + count, elements.end());
    } else if (count < elements.size()) {
        std::nth_element(elements.begin(), elements.begin() + count, elements.end());
        std::sort(elements.begin(), elements.begin() + count);
    } else if (elements.size() <= kFew) {
        std::sort(elements.begin(), elements.end());
    } else {
        spare.resize(elements.size());
        sortByDigits(elements, spare);
    }
}

template <typename Word, typename T>
void sortLines(const View& values, const View& indices, const View& input, int dim, bool descending,
               size_t count) {
    const Lines in(input, dim), outValues(values, dim), outIndices(indices, dim);
    const int64_t grain = std::max<int64_t>(1, kGrain / 16 / std::max<int64_t>(in.length, 1));
    parallelFor(in.count, grain, [&](int64_t begin, int64_t end) {
        std::vector<Ranked<Word>> elements(static_cast<size_t>(in.length)), spare;
        for (int64_t line = begin; line < end; line++) {
            const T* const source = input.as<const T>() + in.base(line);
            for (size_t i = 0; i < elements.size(); i++) {
                const Word key = keyOf(static_cast<Compute<T>>(source[i * in.step]));
                elements[i] = {descending ? static_cast<Word>(~key) : key, static_cast<Word>(i)};
            }
            sortElements(elements, spare, count);
            T* const sorted = values.as<T>() + outValues.base(line);
            int64_t* const places = indices.as<int64_t>() + outIndices.base(line);
            for (size_t i = 0; i < count; i++) {
                sorted[i * outValues.step] = source[elements[i].place * in.step];
                places[i * outIndices.step] = static_cast<int64_t>(elements[i].place);
            }
        }
    });
}

}  // namespace

void sort(Context& context, const View& values, const View& indices, const View& input, int dim,
          bool descending, int64_t count) {
    context.enqueue("sort", [=] {
        dispatchAll(input.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const auto first = static_cast<size_t>(count);
            if constexpr (sizeof(WordOf<Compute<T>>) == 4) {
                if (input.sizes[dim] <= int64_t{UINT32_MAX}) {
                    return sortLines<uint32_t, T>(values, indices, input, dim, descending, first);
                }
            }
            sortLines<uint64_t, T>(values, indices, input, dim, descending, first);
        });
    });
}

}  // namespace anneal::cpu
