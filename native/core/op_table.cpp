#include "core/op_table.h"

#include "core/ops.h"

namespace anneal {

namespace detail {

template <>
constexpr bool kSpansDevices<& ops::copy_> = true;

}  // namespace detail

const std::vector<OpEntry>& opTable() {
    static const std::vector<OpEntry> table = {
#define OP(name, ...) {#name, &detail::Wrap<&ops::name>::run},
#define UNARY(name) {#name, &detail::Wrap<&ops::name>::run},
#define BINARY(name) {#name, &detail::Wrap<&ops::name>::run},
#include "core/ops.def"
#undef OP
#undef UNARY
#undef BINARY
    };
    return table;
}

}  // namespace anneal
