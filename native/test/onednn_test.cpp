#include "cpu/onednn.h"

#undef CHECK  // the engine's takes a kind of error, the tests' does not
#include "testing.h"

namespace {

using anneal::cpu::onednn::Cache;

TEST("oneDNN's primitives: those that were not used for longest make room") {
    int made = 0;
    Cache<int> cache(3);
    const auto get = [&](int64_t key) {
        return cache.get({key, -key}, [&] { return std::make_unique<int>(++made); });
    };
    CHECK(get(1) == 1 && get(2) == 2 && get(3) == 3);
    CHECK(get(1) == 1 && made == 3);
    CHECK(get(4) == 4);  // in the place of 2
    CHECK(get(1) == 1 && get(3) == 3 && get(4) == 4 && made == 4);
    CHECK(get(2) == 5);
    for (int64_t key = 0; key < 1000; key++) get(key);
    CHECK(cache.size() == 3);
    // What cannot be made leaves no trace.
    CHECK_THROWS(cache.get({-1}, []() -> std::unique_ptr<int> { throw std::runtime_error("no"); }), "no");
    CHECK(cache.size() == 3 && cache.get({-1}, [] { return std::make_unique<int>(7); }) == 7);
}

}  // namespace
