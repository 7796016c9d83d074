#pragma once

#include <chrono>

// A neighbour on the team's cores. OpenMP's threads are waited for at the end of every piece of work, those
// too that have not come to do any of it: one that another process keeps from its core costs a scheduler's
// turn, some milliseconds, each time. While that goes on, what one thread does in less stays with it.
namespace anneal::cpu {

class HeldUp {
  public:
    using Clock = std::chrono::steady_clock;

    // How long work stays with this thread before it calls the others.
    static constexpr auto kAlone = std::chrono::microseconds(500);

    // Of the engine thread that calls.
    static HeldUp& here();

    bool now(Clock::time_point time) const { return time < until_; }

    // After each piece of work of the team: somebody had not begun when all was done, and was waited for from
    // `done` to `end`; or nobody was missing.
    void waited(Clock::time_point done, Clock::time_point end);
    void allCame();

  private:
    using Span = Clock::duration;
    // Longer than a thread takes to wake up: its core is taken.
    static constexpr Span kLong = std::chrono::microseconds(500);
    static constexpr Span kFirst = std::chrono::milliseconds(2), kMost = std::chrono::milliseconds(64);

    Clock::time_point until_{};
    Span span_ = kFirst;  // twice as long each time that somebody is missing again
};

}  // namespace anneal::cpu
