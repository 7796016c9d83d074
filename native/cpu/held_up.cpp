#include "cpu/held_up.h"

#include <algorithm>

namespace anneal::cpu {

HeldUp& HeldUp::here() {
    thread_local HeldUp instance;
    return instance;
}

void HeldUp::waited(Clock::time_point done, Clock::time_point end) {
    if (end - done < kLong) return;
    until_ = end + span_;
    span_ = std::min(2 * span_, kMost);
}

void HeldUp::allCame() { span_ = std::max(span_ / 2, kFirst); }

}  // namespace anneal::cpu
