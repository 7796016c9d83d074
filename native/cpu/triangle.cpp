#include <algorithm>

#include "cpu/kernels.h"
#include "cpu/lines.h"
#include "cpu/parallel.h"

namespace anneal::cpu {

void triangle(Context& context, const View& out, const View& input, int64_t diagonal, bool upper) {
    context.enqueue(upper ? "triu" : "tril", [=] {
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const int last = out.dims() - 1;
            const int64_t rows = out.sizes[last - 1];
            const Lines in(input, last), target(out, last);
            parallelFor(
                in.count, std::max<int64_t>(1, kGrain / std::max<int64_t>(in.length, 1)),
                [&](int64_t begin, int64_t end) {
                    for (int64_t line = begin; line < end; line++) {
                        const T* source = input.as<const T>() + in.base(line);
                        T* result = out.as<T>() + target.base(line);
                        // The first column at or right of the diagonal.
                        const int64_t edge = line % rows + diagonal;
                        const int64_t from = upper ? std::clamp<int64_t>(edge, 0, in.length) : int64_t{0};
                        const int64_t to = upper ? in.length : std::clamp<int64_t>(edge + 1, 0, in.length);
                        std::fill(result, result + from, finalValue<T>(0.0));
                        for (int64_t i = from; i < to; i++) result[i] = source[i * in.step];
                        std::fill(result + to, result + in.length, finalValue<T>(0.0));
                    }
                });
        });
    });
}

}  // namespace anneal::cpu
