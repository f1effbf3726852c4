#pragma once

#include <cstdint>

#include "core/base/machine.h"

namespace mobula::runtime {

// How a thread waits for what another process will do: when it pauses, when it gives its core away, when it is better
// asleep.
//
// With a token (SpinTokens) it polls with `pause` and yields now and then, since whom it waits for may be waiting for
// this core; without one it yields after each poll.  A yield that took longer than a system call takes let somebody
// run: the core is shared, and from then on each poll is followed by a yield, until one comes back at once.
// The budget, after which it sleeps, doubles when waiting found something and halves when it did not.
//
// For one thread at a time.  A wait is begin(), then poll and, where that found nothing, turn(), until it says kSleep.
class SpinPace {
 public:
  enum class Turn : std::uint8_t {
    kPoll,     // Again at once.
    kYielded,  // Again; now() is of this moment.
    kSleep,
  };

  void begin(bool has_token);
  Turn turn();
  void found();  // A poll found something: the budget starts anew.
  base::Time now() const { return now_; }

 private:
  bool may_spin_ = false;
  bool core_is_shared_ = false;
  int polls_ = 0;
  base::Duration budget_ = std::chrono::microseconds(50);
  base::Time until_{};
  base::Time now_{};
};

}  // namespace mobula::runtime
