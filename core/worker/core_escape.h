#pragma once

#include <cstdint>

#include "core/base/machine.h"

namespace mobula::runtime {

// Leaves a core on which this thread and the process that it talks to take turns.
//
// The kernel likes to wake a sleeper on its waker's core, and afterwards keeps two that hand over to each other all the
// time there, since each looks as if it had just run: a call costs two context switches, four times what it
// costs between two cores.  After some dozens of such waits in a row the thread asks for another core of those it may
// use; where it is back on a shared one soon, it asks more and more seldom, up to once a second.
//
// Both ends see the same; they count to different numbers, so that they do not leave together.
// For one thread at a time.
class CoreEscape {
 public:
  CoreEscape();
  bool shared();  // A wait begins for someone on this core; true: this thread has moved away.
  void apart() { in_a_row_ = 0; }

 private:
  void choose_limit();

  std::uint32_t in_a_row_ = 0;
  std::uint32_t limit_ = 0;
  std::uint32_t seed_ = 0;
  base::Duration pause_{};
  base::Time not_before_{};
};

}  // namespace mobula::runtime
