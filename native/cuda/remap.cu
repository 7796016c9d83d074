// Rearranging along each dimension by itself. The processor's runs are spread into tables on the host: for
// each place of a dimension, where it comes from (forward), or the list of places that came from it
// (backward).
#include <cstring>
#include <vector>

#include "cuda/submit.h"

namespace anneal::cuda {

namespace {

using cpu::AxisMap;
using cpu::Run;

struct Axis {
    int64_t size, outStep, inStep;
    int64_t table;  // where its table begins
};

struct Axes {
    int dims = 0;
    int64_t numel = 1;
    Axis axes[kMaxDims];
};

template <typename Body>
void forPlaces(const AxisMap& map, const Body& body) {
    int64_t place = 0;
    for (int64_t time = 0; time < map.times; time++) {
        for (const Run& run : map.runs) {
            for (int64_t i = 0; i < run.length; i++)
                body(place++, run.source < 0 ? int64_t{-1} : run.source + i / run.every * run.step);
        }
    }
}

template <typename Word>
__global__ void pick(Word* out, const Word* in, Axes axes, const int64_t* tables, Word fill) {
    for (int64_t i = globalThread(); i < axes.numel; i += globalThreads()) {
        int64_t rest = i, to = 0, from = 0;
        bool filled = false;
        for (int d = axes.dims - 1; d >= 0; d--) {
            const Axis& axis = axes.axes[d];
            const int64_t place = rest % axis.size, source = tables[axis.table + place];
            rest /= axis.size;
            to += place * axis.outStep;
            filled = filled || source < 0;
            from += source * axis.inStep;
        }
        out[to] = filled ? fill : in[from];
    }
}

// Table of an axis: size + 1 beginnings, then the places of the gradient in their order.
template <typename T>
__global__ void addUses(T* out, const T* gradient, Axes axes, const int64_t* tables) {
    for (int64_t i = globalThread(); i < axes.numel; i += globalThreads()) {
        int64_t rest = i, to = 0;
        int64_t first[kMaxDims], count[kMaxDims], at[kMaxDims];
        bool any = true;
        for (int d = axes.dims - 1; d >= 0; d--) {
            const Axis& axis = axes.axes[d];
            const int64_t place = rest % axis.size;
            rest /= axis.size;
            to += place * axis.outStep;
            first[d] = tables[axis.table + place];
            count[d] = tables[axis.table + place + 1] - first[d];
            at[d] = 0;
            any = any && count[d] > 0;
        }
        double sum = 0;
        while (any) {
            int64_t from = 0;
            for (int d = 0; d < axes.dims; d++) {
                const Axis& axis = axes.axes[d];
                from += tables[axis.table + axis.size + 1 + first[d] + at[d]] * axis.inStep;
            }
            sum += static_cast<double>(toCompute(gradient[from]));
            int d = axes.dims - 1;
            while (d >= 0 && ++at[d] == count[d]) at[d--] = 0;
            any = d >= 0;
        }
        out[to] = convertTo<T, double>(sum);
    }
}

// The bits of a number as an element.
template <typename Word, typename T>
Word bitsOf(double value) {
    const T element = elementOf<T>(value);
    Word word;
    std::memcpy(&word, &element, sizeof word);
    return word;
}

}  // namespace

void remap(Context& context, const View& out, const View& input, std::vector<AxisMap> maps, double fill) {
    Axes axes;
    axes.dims = out.dims();
    axes.numel = out.numel();
    std::vector<int64_t> tables;
    for (int d = 0; d < axes.dims; d++) {
        axes.axes[d] = {out.sizes[d], out.strides[d], input.strides[d], static_cast<int64_t>(tables.size())};
        forPlaces(maps[static_cast<size_t>(d)], [&](int64_t, int64_t source) { tables.push_back(source); });
    }
    const Tensor memory = context.scratch((tables.size() + 1) * sizeof(int64_t));
    submit(context, "remap", [=, tables = std::move(tables), place = memory.data()](CudaRuntime& runtime) {
        if (axes.numel == 0) return;
        if (!tables.empty()) runtime.setValue(place, tables.data(), tables.size() * sizeof(int64_t));
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using Word = std::conditional_t<
                sizeof(T) == 1, uint8_t,
                std::conditional_t<sizeof(T) == 2, uint16_t,
                                   std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>>;
            launch(pick<Word>, gridFor(axes.numel), runtime.stream(), out.as<Word>(), input.as<const Word>(),
                   axes, static_cast<const int64_t*>(place), bitsOf<Word, T>(fill));
        });
    });
}

void remapBackward(Context& context, const View& gradInput, const View& gradOutput,
                   std::vector<AxisMap> maps) {
    Axes axes;
    axes.dims = gradInput.dims();
    axes.numel = gradInput.numel();
    std::vector<int64_t> tables;
    for (int d = 0; d < axes.dims; d++) {
        const int64_t size = gradInput.sizes[d];
        axes.axes[d] = {size, gradInput.strides[d], gradOutput.strides[d],
                        static_cast<int64_t>(tables.size())};
        std::vector<std::vector<int64_t>> uses(static_cast<size_t>(size));
        forPlaces(maps[static_cast<size_t>(d)], [&](int64_t place, int64_t source) {
            if (source >= 0) uses[static_cast<size_t>(source)].push_back(place);
        });
        int64_t begin = 0;
        for (const auto& list : uses) {
            tables.push_back(begin);
            begin += static_cast<int64_t>(list.size());
        }
        tables.push_back(begin);
        for (const auto& list : uses) tables.insert(tables.end(), list.begin(), list.end());
    }
    const Tensor memory = context.scratch((tables.size() + 1) * sizeof(int64_t));
    submit(context, "remap_backward",
           [=, tables = std::move(tables), place = memory.data()](CudaRuntime& runtime) {
               if (axes.numel == 0) return;
               if (!tables.empty()) runtime.setValue(place, tables.data(), tables.size() * sizeof(int64_t));
               dispatchFloating(gradInput.dtype, [&](auto tag) {
                   using T = typename decltype(tag)::type;
                   launch(addUses<T>, gridFor(axes.numel), runtime.stream(), gradInput.as<T>(),
                          gradOutput.as<const T>(), axes, static_cast<const int64_t*>(place));
               });
           });
}

}  // namespace anneal::cuda
