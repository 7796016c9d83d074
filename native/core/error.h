#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace anneal {

// Kinds of failure that the caller can tell apart; each becomes an error class of its own in TypeScript.
enum class ErrorKind { General, Shape, DType, Device, OutOfMemory, Kernel };

class Error : public std::runtime_error {
  public:
    Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
    ErrorKind kind() const { return kind_; }

  private:
    ErrorKind kind_;
};

// Joins everything that can be written to a stream: `fail(ErrorKind::Shape, "add: ", a, " against ", b)`.
template <typename... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    throw Error(kind, text.str());
}

// The text is only built when the condition does not hold.
template <typename... Parts>
inline void check(bool condition, ErrorKind kind, const Parts&... parts) {
    if (__builtin_expect(!condition, 0)) fail(kind, parts...);
}

template <typename... Parts>
inline void checkShape(bool condition, const Parts&... parts) {
    check(condition, ErrorKind::Shape, parts...);
}

template <typename... Parts>
inline void checkDType(bool condition, const Parts&... parts) {
    check(condition, ErrorKind::DType, parts...);
}

}  // namespace anneal
