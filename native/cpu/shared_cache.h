#pragma once

#include <optional>

namespace anneal::cpu {

// Whether the cores that the team runs on share a cache, so that what one thread has written is soon read by
// another. Virtual machines move between cores that do and cores that do not, so it is measured, now and
// then: by the time that a word takes to go from one thread to another. One thread shares with itself.
bool coresShareCache();
// For tests: the answer from now on, or nothing for measuring again.
void assumeSharedCache(std::optional<bool> answer);

}  // namespace anneal::cpu
