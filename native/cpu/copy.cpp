#include <cmath>
#include <cstring>

#include "core/convert.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/simd.h"

namespace anneal::cpu {

namespace {

template <typename To, typename From>
To convert(From value) {
    if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (std::is_same_v<To, bool>) {
        return static_cast<Compute<From>>(value) != 0;
    } else if constexpr (std::is_integral_v<To> && std::is_floating_point_v<Compute<From>>) {
        return integerOf<To>(static_cast<Compute<From>>(value));
    } else {
        return static_cast<To>(static_cast<Compute<From>>(value));
    }
}

// Between float32 and half precision, whose vectors need more than GCC finds in a loop of single values.
template <typename To, typename From>
void convertLanes(To* to, const From* from, int64_t count) {
    simd::forLanes<float>(
        count, [=](int64_t i, auto lanes) { simd::store(to + i, simd::load(from + i, lanes), lanes); });
}

constexpr int64_t kFewLanes = 2 * 1024 * 1024;

template <typename To, typename From>
void copyAll(const View& target, const View& source) {
    constexpr bool kLanes = !std::is_same_v<To, From> && std::is_same_v<Compute<To>, float> &&
                            std::is_same_v<Compute<From>, float>;
    if constexpr (kLanes) {
        const LoopPlan<2> plan({target, source});
        const auto row = [](char* const* p, const int64_t* s, int64_t count) {
            if (s[0] == sizeof(To) && s[1] == sizeof(From)) {
                convertLanes(reinterpret_cast<To*>(p[0]), reinterpret_cast<const From*>(p[1]), count);
                return;
            }
            for (int64_t i = 0; i < count; i++) {
                *reinterpret_cast<To*>(p[0] + i * s[0]) =
                    convert<To, From>(*reinterpret_cast<const From*>(p[1] + i * s[1]));
            }
        };
        // The first op of a step, mostly: the team has fallen asleep since the last one, and JavaScript, at
        // work on the next ops, holds its core. Waiting for it would take longer.
        plan.numel <= kFewLanes ? plan.range(0, plan.numel, row) : plan.run(row);
    } else {
        mapUnary<To, From>(target, source, [](From value) { return convert<To, From>(value); });
    }
}

}  // namespace

void copy(Context& context, const View& target, const View& source) {
    context.enqueue("copy", [target, source] {
        dispatchAll(target.dtype, [&](auto targetTag) {
            dispatchAll(source.dtype, [&](auto sourceTag) {
                using To = typename decltype(targetTag)::type;
                using From = typename decltype(sourceTag)::type;
                copyAll<To, From>(target, source);
            });
        });
    });
}

void fill(Context& context, const View& target, double value) {
    context.enqueue("fill", [target, value] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const T constant = elementOf<T>(value);
            LoopPlan<1>({target}).run([&](char* const* p, const int64_t* s, int64_t count) {
                if (s[0] == sizeof(T)) {
                    std::fill_n(reinterpret_cast<T*>(p[0]), count, constant);
                } else {
                    for (int64_t i = 0; i < count; i++) *reinterpret_cast<T*>(p[0] + i * s[0]) = constant;
                }
            });
        });
    });
}

void arange(Context& context, const View& target, double start, double step) {
    context.enqueue("arange", [=] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const int64_t count = target.numel();
            for (int64_t i = 0; i < count; i++) {
                target.as<T>()[i] = elementOf<T>(start + static_cast<double>(i) * step);
            }
        });
    });
}

// As PyTorch: from the start in the first half, from the end in the second, so that both ends are exact.
void linspace(Context& context, const View& target, double start, double end) {
    context.enqueue("linspace", [=] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            using C = std::conditional_t<std::is_floating_point_v<Compute<T>>, Compute<T>, double>;
            const int64_t count = target.numel();
            const C first = static_cast<C>(start), last = static_cast<C>(end);
            const C step = count > 1 ? (last - first) / static_cast<C>(count - 1) : C{0};
            for (int64_t i = 0; i < count; i++) {
                const C value = i < count / 2 ? first + step * static_cast<C>(i)
                                              : last - step * static_cast<C>(count - 1 - i);
                target.as<T>()[i] = elementOf<T>(static_cast<double>(count == 1 ? first : value));
            }
        });
    });
}

void eye(Context& context, const View& target) {
    context.enqueue("eye", [=] {
        dispatchAll(target.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const int64_t rows = target.sizes[0], columns = target.sizes[1];
            std::fill_n(target.as<T>(), rows * columns, static_cast<T>(0.0f));
            for (int64_t i = 0; i < std::min(rows, columns); i++)
                target.as<T>()[i * columns + i] = static_cast<T>(1.0f);
        });
    });
}

// Red, green and blue: every 16 pixels the channels stand at the same places of three vectors.
static void normalizeRgb(const uint8_t* source, float* target, int64_t values, const double* scale,
                         const double* shift) {
    constexpr int kPeriod = 48;
    // In double, so that the ends of a range come out as they are: 1, not the next float.
    double scales[kPeriod], shifts[kPeriod];
    for (int i = 0; i < kPeriod; i++) {
        scales[i] = scale[i % 3];
        shifts[i] = shift[i % 3];
    }
    for (; values >= kPeriod; values -= kPeriod, source += kPeriod, target += kPeriod) {
        for (int i = 0; i < kPeriod; i++) target[i] = static_cast<float>(source[i] * scales[i] + shifts[i]);
    }
    for (int i = 0; i < values; i++) target[i] = static_cast<float>(source[i] * scales[i] + shifts[i]);
}

// Bytes of pictures, channels innermost, to normalised floats in one pass: out = byte * scale[c] + shift[c].
void normalizeImages(Context& context, const View& out, const View& bytes, std::vector<double> scale,
                     std::vector<double> shift) {
    context.enqueue("normalize_images", [out, bytes, scale = std::move(scale), shift = std::move(shift)] {
        const int64_t channels = bytes.sizes[1];
        const int64_t pixels = channels == 0 ? 0 : bytes.numel() / channels;
        if (channels == 3) {
            parallelFor(pixels, kGrain, [&](int64_t begin, int64_t end) {
                normalizeRgb(bytes.as<uint8_t>() + begin * 3, out.as<float>() + begin * 3, (end - begin) * 3,
                             scale.data(), shift.data());
            });
            return;
        }
        std::vector<float> table(static_cast<size_t>(channels) * 256);
        for (int64_t c = 0; c < channels; c++) {
            for (int value = 0; value < 256; value++) {
                table[static_cast<size_t>(c * 256 + value)] =
                    static_cast<float>(value * scale[static_cast<size_t>(c)] + shift[static_cast<size_t>(c)]);
            }
        }
        const uint8_t* source = bytes.as<uint8_t>();
        float* target = out.as<float>();
        parallelFor(pixels, kGrain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                for (int64_t c = 0; c < channels; c++) {
                    target[i * channels + c] = table[static_cast<size_t>(c * 256 + source[i * channels + c])];
                }
            }
        });
    });
}

}  // namespace anneal::cpu
