#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace anneal::cpu {

void where(Context& context, const View& out, const View& condition, const View& a, const View& b) {
    context.enqueue("where", [=] {
        dispatchAll(out.dtype, [&](auto tag) {
            using T = typename decltype(tag)::type;
            mapTernary<T, bool, T, T>(out, condition, a, b,
                                      [](bool chosen, T x, T y) { return chosen ? x : y; });
        });
    });
}

}  // namespace anneal::cpu
