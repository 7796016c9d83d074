#include <cstdio>
#include <string>

#include "testing.h"

// Usage: engine_test [PART OF A NAME]
int main(int argumentCount, char** arguments) {
    const std::string wanted = argumentCount > 1 ? arguments[1] : "";
    int run = 0;
    int failed = 0;
    for (const anneal::test::Test& test : anneal::test::tests()) {
        if (test.name.find(wanted) == std::string::npos) continue;
        ++run;
        try {
            test.body();
        } catch (const std::exception& error) {
            ++failed;
            std::printf("FAILED  %s\n        %s\n", test.name.c_str(), error.what());
        }
    }
    if (run == 0) {
        std::printf("no test's name contains \"%s\"\n", wanted.c_str());
        return 1;
    }
    std::printf("%d of %d tests passed\n", run - failed, run);
    return failed == 0 ? 0 : 1;
}
