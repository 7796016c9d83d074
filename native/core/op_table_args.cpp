#include <cmath>

#include "core/numbers.h"
#include "core/op_table.h"
#include "core/recording.h"

namespace anneal {

static const char* kindName(ArgKind kind) {
    static const char* const names[] = {"nothing",           "a number",          "a tensor", "null",
                                        "a list of numbers", "a list of tensors", "a boolean"};
    const auto index = static_cast<size_t>(kind);
    return index < 7 ? names[index] : "something unknown";
}

ArgKind ArgReader::peek() {
    CHECK(remaining_ > 0 && position_ < slots_, ErrorKind::General, op_, ": too few arguments");
    return static_cast<ArgKind>(kinds_[position_]);
}

ArgKind ArgReader::next(ArgKind wanted, const char* description) {
    const ArgKind kind = peek();
    CHECK(kind == wanted, ErrorKind::General, op_, ": expected ", description, ", got ", kindName(kind));
    return kind;
}

// Of a list, whose values follow.
int ArgReader::listLength(ArgKind kind) {
    const double count = take();
    CHECK(count >= 0 && count <= slots_ - position_ && count == std::floor(count), ErrorKind::General, op_,
          ": ", kindName(kind), " cannot have ", count, " entries");
    return static_cast<int>(count);
}

int64_t ArgReader::toInteger(double value) const {
    CHECK(value == std::floor(value) && std::fabs(value) <= 9007199254740992.0, ErrorKind::Shape, op_,
          ": expected an integer, got ", value);
    return static_cast<int64_t>(value);
}

Tensor ArgReader::tensor() {
    next(ArgKind::Tensor, "a tensor");
    remaining_--;
    return note(tensors_.get(take()));
}

Weights ArgReader::weights() {
    next(ArgKind::Tensor, "a tensor");
    remaining_--;
    return {noteUnchanged(tensors_.get(take()))};
}

std::optional<Tensor> ArgReader::optionalTensor() {
    if (peek() == ArgKind::None) {
        remaining_--;
        position_++;
        return std::nullopt;
    }
    return tensor();
}

Operand ArgReader::operand() {
    Operand operand;
    const ArgKind kind = peek();
    if (kind == ArgKind::Tensor) {
        operand.tensor = tensor();
    } else if (kind == ArgKind::Bool) {
        operand.number = boolean() ? 1 : 0;
        operand.category = Operand::Category::Bool;
    } else {
        operand = operandOf(number());
    }
    return operand;
}

double ArgReader::number() {
    next(ArgKind::Number, "a number");
    remaining_--;
    return take();
}

std::optional<double> ArgReader::optionalNumber() {
    if (peek() == ArgKind::None) {
        remaining_--;
        position_++;
        return std::nullopt;
    }
    return number();
}

int64_t ArgReader::integer() { return toInteger(number()); }

bool ArgReader::boolean() {
    next(ArgKind::Bool, "a boolean");
    remaining_--;
    return take() != 0;
}

Dims ArgReader::dims() {
    next(ArgKind::Numbers, "a list of numbers");
    remaining_--;
    const int count = listLength(ArgKind::Numbers);
    CHECK_SHAPE(count <= kMaxDims, op_, ": a tensor has at most ", kMaxDims, " dimensions, got ", count);
    Dims dims;
    for (int i = 0; i < count; i++) dims.push(toInteger(take()));
    return dims;
}

std::vector<double> ArgReader::numbers() {
    next(ArgKind::Numbers, "a list of numbers");
    remaining_--;
    const int count = listLength(ArgKind::Numbers);
    std::vector<double> result(values_ + position_, values_ + position_ + count);
    position_ += count;
    return result;
}

TensorList ArgReader::tensors() {
    // An empty list does not tell what it is a list of.
    const bool empty = peek() == ArgKind::Numbers && values_[position_] == 0;
    if (!empty) next(ArgKind::Tensors, "a list of tensors");
    remaining_--;
    const int count = listLength(ArgKind::Tensors);
    TensorList result;
    result.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; i++) result.push_back(note(tensors_.get(take())));
    return result;
}

DType ArgReader::dtype() {
    const int64_t code = integer();
    CHECK(code >= 0 && code < kDTypeCount, ErrorKind::DType, op_, ": unknown dtype code ", code);
    return static_cast<DType>(code);
}

void ArgReader::keep(const Tensor& tensor) const { recording_->keep(tensor.storage()); }

std::string ArgReader::mixedMessage() const {
    return std::string(op_) + ": expected all tensors on one device, got " + device_.name() + " and " +
           other_.name() + "; move them with to('" + device_.name() + "')";
}

void ArgReader::finish() const { CHECK(remaining_ == 0, ErrorKind::General, op_, ": too many arguments"); }

}  // namespace anneal
