#include "core/random.h"

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <vector>

#include "testing.h"

// Expected numbers without another source named were printed by PyTorch 1.13 (float.hex); test/fixtures has
// many more.

namespace {

using anneal::Generator;

template <typename T>
void checkValues(const std::vector<T>& actual, std::initializer_list<double> expected, double tolerance) {
    CHECK_EQUAL(actual.size(), expected.size());
    size_t i = 0;
    for (const double value : expected) {
        CHECK_CLOSE(static_cast<double>(actual[i]), value, tolerance);
        ++i;
    }
}

template <typename T>
std::vector<T> normals(Generator& generator, int64_t count, double mean = 0, double std = 1) {
    std::vector<T> values(static_cast<size_t>(count));
    anneal::fillNormal(generator, values.data(), count, mean, std);
    return values;
}

template <typename T>
std::vector<T> uniforms(Generator& generator, int64_t count, double from = 0, double to = 1) {
    std::vector<T> values(static_cast<size_t>(count));
    anneal::fillUniform(generator, values.data(), count, from, to);
    return values;
}

std::vector<int64_t> integers(Generator& generator, int64_t count, int64_t low, uint64_t range) {
    std::vector<int64_t> values(static_cast<size_t>(count));
    anneal::fillRandint(generator, values.data(), count, low, range);
    return values;
}

// FNV-1a, to compare a whole state by one number.
uint64_t hash(const std::vector<uint8_t>& bytes) {
    uint64_t value = 1469598103934665603ULL;
    for (const uint8_t byte : bytes) value = (value ^ byte) * 1099511628211ULL;
    return value;
}

}  // namespace

// The C++ standard names the 10,000th output of mt19937 with its default seed, 5489.
TEST("random: the Mersenne Twister of the C++ standard") {
    Generator generator(5489);
    uint32_t word = 0;
    for (int i = 0; i < 10000; ++i) word = generator.random();
    CHECK_EQUAL(word, 4123659995U);
}

TEST("random: many at a time equals one at a time, at any split") {
    Generator single(7);
    Generator block(7);
    for (const size_t count : {1, 622, 1, 3, 624, 625, 5000, 17}) {
        std::vector<uint32_t> words(count);
        block.random(words.data(), count);
        for (const uint32_t word : words) CHECK_EQUAL(word, single.random());
    }
    CHECK(block.state() == single.state());
}

TEST("random: one stream through every kind of draw") {
    Generator generator(42);
    checkValues(normals<float>(generator, 3), {0x1.58c55cp-2, 0x1.07cd3ap-3, 0x1.e02dcep-3}, 0);
    checkValues(uniforms<float>(generator, 2), {0x1.e1acccp-1, 0x1.10c3c8p-3}, 0);
    const auto block = normals<float>(generator, 20);
    checkValues(
        std::vector<float>{block[0], block[1], block[8], block[15], block[16], block[19]},
        {-0x1.f15fdep-3, -0x1.de4aa2p-1, -0x1.c97412p-3, 0x1.fdc404p-1, -0x1.c2734ap-1, 0x1.0fb76cp+1}, 1e-6);
    // The spare of the first draw, kept through all the others.
    checkValues(normals<float>(generator, 1), {0x1.d7b8d8p-3}, 0);
    checkValues(integers(generator, 3, 0, 100), {43, 94, 93}, 0);
    checkValues(normals<double>(generator, 2), {-0x1.04c3b309b5c68p+0, -0x1.ac10023c2b151p-2}, 1e-15);
    std::vector<int64_t> order(8);
    anneal::fillRandperm(generator, order.data(), 8);
    checkValues(order, {3, 2, 0, 1, 4, 7, 6, 5}, 0);
    std::vector<uint8_t> coins(10);
    anneal::fillBernoulli(generator, coins.data(), 10, 0.5);
    checkValues(coins, {1, 1, 1, 1, 0, 0, 0, 1, 1, 1}, 0);
    checkValues(integers(generator, 2, -(int64_t{1} << 40), (uint64_t{1} << 52) + (uint64_t{1} << 40)),
                {3362060069551531, 3375487095948039}, 0);
    checkValues(uniforms<double>(generator, 2), {0x1.b5f5c58c34044p-2, 0x1.2719ac83918a0p-2}, 0);
    const auto doubles = normals<double>(generator, 17);
    checkValues(std::vector<double>{doubles[0], doubles[1], doubles[16]},
                {0x1.2c595264a0764p+1, 0x1.f8f6782f6d9d2p-1, -0x1.23e635fb0840fp-1}, 1e-15);
    std::vector<float> waits(2);
    anneal::fillExponential(generator, waits.data(), 2, 2);
    checkValues(waits, {0x1.07ff42p-1, 0x1.2faa5cp-4}, 1e-7);
    int64_t seed = 0;
    anneal::fillRandomInt64(generator, &seed, 1);
    CHECK_EQUAL(seed, 2137406799659846683);
    checkValues(uniforms<float>(generator, 2, -0.3, 0.7), {0x1.4f1772p-1, 0x1.3d4fecp-2}, 1e-7);
    checkValues(normals<float>(generator, 2, 3, 0.25), {0x1.4ff36ap+1, 0x1.7b9784p+1}, 1e-6);
    const float probabilities[] = {0.1F, 0.9F, 0.5F, 0.5F};
    std::vector<float> each(4);
    anneal::fillBernoulli(generator, each.data(), 4, probabilities);
    checkValues(each, {0, 0, 0, 1}, 0);
}

TEST("random: the low 32 bits of a seed choose the stream, all 64 are remembered") {
    Generator narrow(5);
    Generator wide((uint64_t{1} << 32) + 5);
    CHECK_EQUAL(wide.random(), narrow.random());
    CHECK_EQUAL(wide.initialSeed(), (uint64_t{1} << 32) + 5);
}

TEST("random: seeding drops the spare normal") {
    Generator generator(1);
    generator.normal();
    generator.manualSeed(42);
    checkValues(normals<float>(generator, 1), {0x1.58c55cp-2}, 0);
}

TEST("random: the state is torch.get_rng_state's, byte for byte") {
    Generator generator(42);
    normals<float>(generator, 3);
    CHECK_EQUAL(generator.state().size(), Generator::kStateBytes);
    CHECK_EQUAL(hash(generator.state()), 0xacf66bd6b492aa9dULL);
}

TEST("random: a restored state goes on with the same numbers") {
    for (const int drawn : {0, 1, 3, 300, 624, 700}) {
        Generator generator(9);
        uniforms<float>(generator, drawn);
        generator.normal();
        const std::vector<uint8_t> saved = generator.state();
        const auto expected = normals<float>(generator, 5);
        const auto more = uniforms<double>(generator, 700);
        Generator restored(1234);
        restored.setState(saved.data(), saved.size());
        CHECK(restored.state() == saved);
        CHECK(normals<float>(restored, 5) == expected);
        CHECK(uniforms<double>(restored, 700) == more);
    }
}

TEST("random: bytes that are no state are refused and change nothing") {
    Generator generator(3);
    generator.random();
    const std::vector<uint8_t> good = generator.state();
    std::vector<uint8_t> bad = good;
    CHECK_THROWS(generator.setState(bad.data(), bad.size() - 1), "5056");
    bad[12] = 0;  // never seeded
    CHECK_THROWS(generator.setState(bad.data(), bad.size()), "not the state");
    bad = good;
    bad[16] = 200;  // position and remainder disagree
    CHECK_THROWS(generator.setState(bad.data(), bad.size()), "not the state");
    bad[17] = 255;  // position beyond the words
    CHECK_THROWS(generator.setState(bad.data(), bad.size()), "not the state");
    CHECK(generator.state() == good);
}

TEST("random: filling nothing draws nothing") {
    Generator generator(3);
    const std::vector<uint8_t> before = generator.state();
    normals<float>(generator, 0);
    uniforms<double>(generator, 0);
    integers(generator, 0, 0, 10);
    anneal::fillRandperm(generator, nullptr, 0);
    anneal::fillBernoulli<float>(generator, nullptr, 0, 0.5);
    CHECK(generator.state() == before);
}

TEST("random: bounds are kept") {
    Generator generator(11);
    for (const float value : uniforms<float>(generator, 100000, -2, 3)) CHECK(value >= -2 && value < 3);
    for (const int64_t value : integers(generator, 10000, -7, 5)) CHECK(value >= -7 && value < -2);
    std::vector<int64_t> order(1000);
    anneal::fillRandperm(generator, order.data(), 1000);
    std::sort(order.begin(), order.end());
    for (int64_t i = 0; i < 1000; ++i) CHECK_EQUAL(order[static_cast<size_t>(i)], i);
    for (const double p : {0.0, 1.0}) {
        std::vector<float> coins(1000);
        anneal::fillBernoulli(generator, coins.data(), 1000, p);
        for (const float coin : coins) CHECK_EQUAL(coin, static_cast<float>(p));
    }
}

// Four standard errors on either side: the draws are fixed by the seed, so this passes or fails for good.
TEST("random: moments of a million normals") {
    Generator generator(2);
    const auto values = normals<float>(generator, 1000000, 1.5, 2);
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / 1e6;
    double squares = 0;
    for (const float value : values) squares += (value - mean) * (value - mean);
    CHECK_CLOSE(mean, 1.5, 4 * 2 / 1000.0);
    CHECK_CLOSE(squares / 1e6, 4, 4 * 4 * 1.4143 / 1000.0);
}
