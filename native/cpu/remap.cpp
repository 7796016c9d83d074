#include <algorithm>
#include <vector>

#include "core/convert.h"
#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

namespace {

constexpr int64_t kNowhere = INT64_MIN;

// The dimension whose neighbours lie closest in memory: rows run along it.
int innermost(const View& view) {
    int inner = view.dims() - 1;
    for (int d = view.dims() - 1; d >= 0; d--) {
        if (view.sizes[d] != 1 && (view.sizes[inner] == 1 || view.strides[d] < view.strides[inner]))
            inner = d;
    }
    return inner;
}

template <typename Body>
void forEachRun(const AxisMap& map, const Body& body) {
    for (int64_t time = 0; time < map.times; time++) {
        for (const Run& run : map.runs) body(run);
    }
}

int64_t sourceOf(const Run& run, int64_t i) { return run.source + i / run.every * run.step; }

// A dimension across the rows: where each of its places comes from, as an offset in elements.
struct OuterAxis {
    int64_t size, step;
    std::vector<int64_t> source;
};

std::vector<OuterAxis> outerAxes(const View& out, const View& input, const std::vector<AxisMap>& maps,
                                 int inner) {
    std::vector<OuterAxis> axes;
    for (int d = out.dims() - 1; d >= 0; d--) {
        if (d == inner) continue;
        OuterAxis axis{out.sizes[d], out.strides[d], {}};
        axis.source.reserve(static_cast<size_t>(axis.size));
        forEachRun(maps[static_cast<size_t>(d)], [&](const Run& run) {
            for (int64_t i = 0; i < run.length; i++) {
                axis.source.push_back(run.source < 0 ? kNowhere : sourceOf(run, i) * input.strides[d]);
            }
        });
        axes.push_back(std::move(axis));
    }
    return axes;
}

template <typename T>
void copyRuns(T* target, int64_t targetStep, const T* source, int64_t sourceStep, const AxisMap& map,
              T fill) {
    forEachRun(map, [&](const Run& run) {
        if (run.source < 0 || source == nullptr) {
            for (int64_t i = 0; i < run.length; i++) target[i * targetStep] = fill;
        } else if (run.every > 1) {
            for (int64_t i = 0; i < run.length; i++) {
                target[i * targetStep] = source[sourceOf(run, i) * sourceStep];
            }
        } else {
            const T* from = source + run.source * sourceStep;
            const int64_t step = run.step * sourceStep;
            if (step == 1 && targetStep == 1) {
                std::copy_n(from, run.length, target);
            } else {
                for (int64_t i = 0; i < run.length; i++) target[i * targetStep] = from[i * step];
            }
        }
        target += run.length * targetStep;
    });
}

// For each place of the input's dimension, the offsets in the output of what came from it.
struct InverseAxis {
    int64_t size, step;
    std::vector<std::vector<int64_t>> uses;
};

// Calls body(offset) with the offset in the output of every row that came from the input row at `place`.
template <typename Body>
void forEachUse(const std::vector<InverseAxis>& axes, const int64_t* place, size_t axis, int64_t offset,
                const Body& body) {
    if (axis == axes.size()) {
        body(offset);
        return;
    }
    for (const int64_t step : axes[axis].uses[static_cast<size_t>(place[axis])]) {
        forEachUse(axes, place, axis + 1, offset + step, body);
    }
}

}  // namespace

void remap(Context& context, const View& out, const View& input, std::vector<AxisMap> maps, double fill) {
    context.enqueue("remap", [=, maps = std::move(maps)] {
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const T filling = elementOf<T>(fill);
            if (out.dims() == 0) {
                *out.as<T>() = *input.as<const T>();
                return;
            }
            const int inner = innermost(out);
            const std::vector<OuterAxis> axes = outerAxes(out, input, maps, inner);
            const AxisMap& map = maps[static_cast<size_t>(inner)];
            const int64_t length = out.sizes[inner];
            if (out.numel() == 0) return;
            parallelFor(out.numel() / length, std::max<int64_t>(1, kGrain / length),
                        [&](int64_t begin, int64_t end) {
                            for (int64_t row = begin; row < end; row++) {
                                int64_t rest = row, to = 0, from = 0;
                                bool filled = false;
                                for (const OuterAxis& axis : axes) {
                                    const int64_t place = rest % axis.size;
                                    rest /= axis.size;
                                    to += place * axis.step;
                                    const int64_t source = axis.source[static_cast<size_t>(place)];
                                    filled |= source == kNowhere;
                                    from += filled ? 0 : source;
                                }
                                copyRuns<T>(out.as<T>() + to, out.strides[inner],
                                            filled ? nullptr : input.as<const T>() + from,
                                            input.strides[inner], map, filling);
                            }
                        });
        });
    });
}

void remapBackward(Context& context, const View& gradInput, const View& gradOutput,
                   std::vector<AxisMap> maps) {
    context.enqueue("remap_backward", [=, maps = std::move(maps)] {
        dispatchFloating(gradInput.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            if (gradInput.dims() == 0) {
                *gradInput.as<T>() = *gradOutput.as<const T>();
                return;
            }
            if (gradInput.numel() == 0) return;
            const int inner = innermost(gradInput);
            std::vector<InverseAxis> axes;
            for (int d = gradInput.dims() - 1; d >= 0; d--) {
                if (d == inner) continue;
                InverseAxis axis{gradInput.sizes[d], gradInput.strides[d], {}};
                axis.uses.resize(static_cast<size_t>(axis.size));
                int64_t place = 0;
                forEachRun(maps[static_cast<size_t>(d)], [&](const Run& run) {
                    for (int64_t i = 0; i < run.length; i++, place++) {
                        if (run.source < 0) continue;
                        axis.uses[static_cast<size_t>(sourceOf(run, i))].push_back(place *
                                                                                   gradOutput.strides[d]);
                    }
                });
                axes.push_back(std::move(axis));
            }
            const AxisMap& map = maps[static_cast<size_t>(inner)];
            const int64_t length = gradInput.sizes[inner], step = gradOutput.strides[inner];
            parallelFor(gradInput.numel() / length, std::max<int64_t>(1, kGrain / length),
                        [&](int64_t begin, int64_t end) {
                            std::vector<double> sums(static_cast<size_t>(length));
                            for (int64_t row = begin; row < end; row++) {
                                int64_t rest = row, to = 0, place[kMaxDims] = {};
                                for (size_t k = 0; k < axes.size(); k++) {
                                    place[k] = rest % axes[k].size;
                                    rest /= axes[k].size;
                                    to += place[k] * axes[k].step;
                                }
                                std::fill(sums.begin(), sums.end(), 0.0);
                                forEachUse(axes, place, 0, 0, [&](int64_t offset) {
                                    const T* g = gradOutput.as<const T>() + offset;
                                    forEachRun(map, [&](const Run& run) {
                                        for (int64_t i = 0; i < run.length && run.source >= 0; i++) {
                                            sums[static_cast<size_t>(sourceOf(run, i))] +=
                                                static_cast<double>(static_cast<Compute<T>>(g[i * step]));
                                        }
                                        g += run.length * step;
                                    });
                                });
                                T* result = gradInput.as<T>() + to;
                                for (int64_t i = 0; i < length; i++) {
                                    result[i * gradInput.strides[inner]] =
                                        finalValue<T>(sums[static_cast<size_t>(i)]);
                                }
                            }
                        });
        });
    });
}

}  // namespace anneal::cpu
