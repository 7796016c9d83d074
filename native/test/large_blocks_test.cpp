#include "core/large_blocks.h"

#include <cstdint>
#include <cstring>
#include <map>

#include "testing.h"

// What large tensors live in: blocks of segments that are cut and joined.

namespace {

using anneal::LargeBlocks;

constexpr size_t kMiB = size_t{1} << 20;

TEST("large blocks: what served one size serves another") {
    LargeBlocks blocks;
    const auto first = blocks.take(24 * kMiB, UINT64_MAX), second = blocks.take(24 * kMiB, UINT64_MAX);
    CHECK(first.fresh == 24 * kMiB && second.fresh == 24 * kMiB);
    blocks.giveBack(first.data, 1);
    blocks.giveBack(second.data, 2);
    CHECK(blocks.cached() == 48 * kMiB);
    const auto whole = blocks.take(48 * kMiB, UINT64_MAX);
    CHECK(whole.data == first.data && whole.fresh == 0 && blocks.cached() == 0);
    blocks.giveBack(whole.data, 3);
    const auto small = blocks.take(2 * kMiB, UINT64_MAX);
    CHECK(small.data == first.data && blocks.cached() == 46 * kMiB);
}

TEST("large blocks: the smallest that fits is taken, and the last one grows") {
    LargeBlocks blocks;
    const auto large = blocks.take(30 * kMiB, UINT64_MAX);
    blocks.take(2 * kMiB, UINT64_MAX);
    const auto middle = blocks.take(10 * kMiB, UINT64_MAX);
    blocks.take(2 * kMiB, UINT64_MAX);
    const auto last = blocks.take(4 * kMiB, UINT64_MAX);
    for (const auto& piece : {large, middle, last}) blocks.giveBack(piece.data, 1);
    CHECK(blocks.take(9 * kMiB, UINT64_MAX).data == middle.data);
    const auto grown = blocks.take(40 * kMiB, UINT64_MAX);
    CHECK(grown.data == last.data && grown.fresh == 36 * kMiB);
}

TEST("large blocks: the host waits for the ticket at which a block was given back") {
    LargeBlocks blocks;
    const auto piece = blocks.take(4 * kMiB, UINT64_MAX);
    blocks.take(4 * kMiB, UINT64_MAX);
    blocks.giveBack(piece.data, 7);
    CHECK(blocks.take(4 * kMiB, 6).data != piece.data);
    CHECK(blocks.take(4 * kMiB, 7).data == piece.data);
}

TEST("large blocks: trimming gives back what is free, in segments that are in use too") {
    LargeBlocks blocks;
    const auto kept = blocks.take(4 * kMiB, UINT64_MAX), dropped = blocks.take(8 * kMiB, UINT64_MAX);
    std::memset(dropped.data, 1, 8 * kMiB);
    std::memset(kept.data, 2, 4 * kMiB);
    blocks.giveBack(dropped.data, 1);
    blocks.trim();
    CHECK(blocks.cached() == 0);
    const auto again = blocks.take(8 * kMiB, UINT64_MAX);
    CHECK(again.data == dropped.data && again.fresh == 8 * kMiB);
    CHECK(static_cast<char*>(again.data)[123] == 0 && static_cast<char*>(kept.data)[123] == 2);
    blocks.giveBack(again.data, 2);
    blocks.giveBack(kept.data, 2);
    blocks.trim();
    CHECK(blocks.cached() == 0 && blocks.take(kMiB, UINT64_MAX).data != nullptr);
}

TEST("large blocks: never overlap, whatever the order") {
    LargeBlocks blocks;
    std::map<char*, size_t> live;
    uint64_t random = 1;
    const auto next = [&](uint64_t limit) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        return (random >> 33) % limit;
    };
    for (int turn = 0; turn < 20000; turn++) {
        if (live.size() < 40 && next(2) == 0) {
            const size_t bytes = kMiB + next(900 * kMiB / (1 + next(50)));
            const auto piece = blocks.take(bytes, UINT64_MAX);
            CHECK(piece.bytes >= bytes);
            char* const data = static_cast<char*>(piece.data);
            const auto after = live.lower_bound(data);
            CHECK(after == live.end() || data + piece.bytes <= after->first);
            CHECK(after == live.begin() || std::prev(after)->first + std::prev(after)->second <= data);
            live[data] = piece.bytes;
        } else if (!live.empty()) {
            const auto victim = std::next(live.begin(), static_cast<std::ptrdiff_t>(next(live.size())));
            CHECK(blocks.giveBack(victim->first, static_cast<uint64_t>(turn)) == victim->second);
            live.erase(victim);
            if (next(100) == 0) blocks.trim();
        }
    }
}

}  // namespace
