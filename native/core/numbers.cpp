#include "core/numbers.h"

#include <charconv>
#include <cmath>
#include <string>

namespace anneal {

namespace {

// The values that an integer dtype holds, ends included.
struct Range {
    double first, last;
};

Range rangeOf(DType dtype, bool integer) {
    switch (dtype) {
        case DType::Int64:
            return {-9223372036854775808.0, 9223372036854774784.0};  // the last double below 2^63
        case DType::Int32:
            return {-2147483648.0, 2147483647.0};
        default:
            return {integer ? -255.0 : 0.0, 255.0};
    }
}

// As JavaScript writes it: in a message it would have six digits.
std::string shown(double number) {
    char text[32];
    return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

}  // namespace

Operand operandOf(double number) {
    Operand operand;
    operand.number = number;
    if (number == std::floor(number) && std::fabs(number) <= 9007199254740992.0)
        operand.category = Operand::Category::Integer;
    return operand;
}

void requireHolds(const char* op, double number, DType dtype) {
    if (!isIntegral(dtype)) return;
    const Range range = rangeOf(dtype, number == std::floor(number));
    CHECK_DTYPE(number >= range.first && number <= range.last, op, ": ", shown(number),
                " cannot be stored in a tensor of ", dtypeName(dtype));
}

}  // namespace anneal
