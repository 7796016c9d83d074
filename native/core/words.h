#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace anneal {

// Calls body(word), a word of the elements' size, where they are only moved.
template <typename Body>
void dispatchSize(DType dtype, const Body& body) {
    switch (dtypeSize(dtype)) {
        case 1:
            return body(uint8_t{});
        case 2:
            return body(uint16_t{});
        case 4:
            return body(uint32_t{});
        default:
            return body(uint64_t{});
    }
}

}  // namespace anneal
