#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

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

// What messages are joined of. Without a stream, whose header takes longer to compile than most of our files.
void append(std::string& text, const char* part);
void append(std::string& text, std::string_view part);
void append(std::string& text, bool) = delete;
void append(std::string& text, char part);
void append(std::string& text, int part);
void append(std::string& text, unsigned part);
void append(std::string& text, long part);
void append(std::string& text, unsigned long part);
void append(std::string& text, long long part);
void append(std::string& text, unsigned long long part);
void append(std::string& text, double part);  // six digits, as %g has them

template <typename... Parts>
std::string joined(const Parts&... parts) {
    std::string text;
    (append(text, parts), ...);
    return text;
}

// 12.5 MiB
std::string megabytes(size_t bytes);

// `fail(ErrorKind::Shape, "add: ", a, " against ", b)`
template <typename... Parts>
[[noreturn]] void fail(ErrorKind kind, const Parts&... parts) {
    throw Error(kind, joined(parts...));
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
