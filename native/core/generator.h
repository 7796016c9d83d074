#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace anneal {

constexpr double kPi = 3.14159265358979323846;

// PyTorch's CPU generator: the Mersenne Twister (mt19937) of Matsumoto and Nishimura with its 2002 seeding,
// and the one normal sample of each precision that Box-Muller leaves over. Same seed and same calls give
// PyTorch's numbers. Not thread-safe: whoever owns a generator serialises the draws, since their order is
// what makes runs repeatable.
class Generator {
  public:
    static constexpr uint64_t kDefaultSeed = 67280421310721ULL;  // PyTorch's, before anyone calls manual_seed
    static constexpr size_t kStateBytes = 5056;                  // what torch.get_rng_state() returns

    explicit Generator(uint64_t seed = kDefaultSeed) { manualSeed(seed); }

    // Restarts the stream and drops the cached normal samples. As in PyTorch the low 32 bits decide the
    // stream; all 64 are remembered as `initialSeed`.
    void manualSeed(uint64_t seed);
    uint64_t initialSeed() const { return seed_; }

    uint32_t random() {
        if (remaining_ == 0) twist();
        --remaining_;
        return temper(words_[next_++]);
    }

    // The first draw is the high half.
    uint64_t random64() {
        const uint64_t high = random();
        return (high << 32) | random();
    }

    // The next `count` results of random(), many at a time.
    void random(uint32_t* out, size_t count);

    // A normal sample of mean 0 and deviation 1 by Box-Muller in double precision: the second of each pair is
    // kept for the next call.
    double normal();

    // The whole state in the byte layout of torch.get_rng_state(), little-endian: it can go to PyTorch and
    // back.
    std::vector<uint8_t> state() const;

    // Throws std::invalid_argument, leaving the generator as it was, when the bytes are not such a state.
    void setState(const uint8_t* bytes, size_t size);

  private:
    static constexpr uint32_t kWords = 624;

    static uint32_t temper(uint32_t word) {
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c5680U;
        word ^= (word << 15) & 0xefc60000U;
        return word ^ (word >> 18);
    }

    void twist();

    uint64_t seed_ = 0;
    uint32_t remaining_ = 0;  // words of the block not yet handed out
    uint32_t next_ = 0;
    uint32_t words_[kWords] = {};
    double spareNormal_ = 0;
    bool hasSpareNormal_ = false;
    // No draw of ours leaves a float sample over; kept so that a state that PyTorch saved survives the round
    // trip.
    float spareFloatNormal_ = 0;
    bool hasSpareFloatNormal_ = false;
};

// Two words as a number in [0, 1), of their last 53 bits.
inline double unitDouble(uint64_t word) {
    return static_cast<double>(static_cast<int64_t>(word & ((uint64_t{1} << 53) - 1))) *
           (1.0 / static_cast<double>(uint64_t{1} << 53));
}

}  // namespace anneal
