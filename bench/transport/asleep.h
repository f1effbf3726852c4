#pragma once

#include <time.h>

namespace mobula::bench {

// Long enough for the other process to have gone to sleep.
inline void settle() {
  const timespec pause{0, 300'000};
  ::nanosleep(&pause, nullptr);
}

}  // namespace mobula::bench
