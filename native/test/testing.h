#pragma once

#include <cmath>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

// The engine's own tests need no framework: TEST registers a body under a name, main.cpp runs all whose name
// contains its argument, and a check that fails throws with the values it saw.
namespace anneal::test {

struct Test {
    std::string name;
    std::function<void()> body;
};

inline std::vector<Test>& tests() {
    static std::vector<Test> all;
    return all;
}

struct Registration {
    Registration(const char* name, std::function<void()> body) { tests().push_back({name, std::move(body)}); }
};

template <typename... Parts>
[[noreturn]] void failCheck(const char* file, int line, const Parts&... parts) {
    std::ostringstream text;
    text.precision(17);
    text << file << ":" << line << ": ";
    (text << ... << parts);
    throw std::runtime_error(text.str());
}

template <typename A, typename B>
void checkEqual(const A& actual, const B& expected, const char* what, const char* file, int line) {
    if (!(actual == expected)) failCheck(file, line, what, " is ", actual, ", expected ", expected);
}

inline void checkClose(double actual, double expected, double tolerance, const char* what, const char* file,
                       int line) {
    if (!(std::fabs(actual - expected) <= tolerance)) {
        failCheck(file, line, what, " is ", actual, ", expected ", expected, " within ", tolerance);
    }
}

template <typename Body>
void checkThrows(Body&& body, const std::string& part, const char* file, int line) {
    try {
        body();
    } catch (const std::exception& error) {
        if (std::string(error.what()).find(part) == std::string::npos) {
            failCheck(file, line, "threw \"", error.what(), "\", which does not speak of \"", part, "\"");
        }
        return;
    }
    failCheck(file, line, "did not throw (\"", part, "\")");
}

}  // namespace anneal::test

#define ANNEAL_TEST_JOIN_(a, b) a##b
#define ANNEAL_TEST_JOIN(a, b) ANNEAL_TEST_JOIN_(a, b)
#define TEST(name)                                                                 \
    static void ANNEAL_TEST_JOIN(testBody, __LINE__)();                            \
    static const anneal::test::Registration ANNEAL_TEST_JOIN(testEntry, __LINE__)( \
        name, ANNEAL_TEST_JOIN(testBody, __LINE__));                               \
    static void ANNEAL_TEST_JOIN(testBody, __LINE__)()

#define CHECK(condition) \
    if (!(condition)) anneal::test::failCheck(__FILE__, __LINE__, "not true: ", #condition)
#define CHECK_EQUAL(actual, expected) anneal::test::checkEqual(actual, expected, #actual, __FILE__, __LINE__)
#define CHECK_CLOSE(actual, expected, tolerance) \
    anneal::test::checkClose(actual, expected, tolerance, #actual, __FILE__, __LINE__)
#define CHECK_THROWS(expression, part) \
    anneal::test::checkThrows([&] { expression; }, part, __FILE__, __LINE__)
