#pragma once

#include <optional>

namespace anneal::cpu {

// Whether the cores that the team runs on share a cache, so that what one thread has written is soon read by
// another: as last measured, and true before that. One thread shares with itself.
bool coresShareCache();
// Measures it, unless that was done a moment ago, by the time that a word takes to go from one thread to
// another: virtual machines move between cores that share a cache and cores that do not. Best called where
// the team has just worked together, and does not have to be waited for.
void measureSharedCache();
// For tests: the answer from now on, or nothing for measuring again.
void assumeSharedCache(std::optional<bool> answer);

}  // namespace anneal::cpu
