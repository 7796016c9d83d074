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

// A failure whose message names its op already.
class OpError : public Error {
  public:
    using Error::Error;
};

// Joins everything that can be written to a stream: `fail(ErrorKind::Shape, "add: ", a, " against ", b)`.
template <typename... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
    std::ostringstream text;
    (text << ... << parts);
    throw Error(kind, text.str());
}

}  // namespace anneal

// Macros, so that the text (shapes written out, figures formatted) is built only when the condition does not
// hold.
#define CHECK(condition, kind, ...)                                               \
    do {                                                                          \
        if (__builtin_expect(!(condition), 0)) ::anneal::fail(kind, __VA_ARGS__); \
    } while (false)
#define CHECK_SHAPE(condition, ...) CHECK(condition, ::anneal::ErrorKind::Shape, __VA_ARGS__)
#define CHECK_DTYPE(condition, ...) CHECK(condition, ::anneal::ErrorKind::DType, __VA_ARGS__)
#define CHECK_DEVICE(condition, ...) CHECK(condition, ::anneal::ErrorKind::Device, __VA_ARGS__)
