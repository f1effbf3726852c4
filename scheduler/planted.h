#pragma once

#include "scheduler/mistake.h"

namespace mobula::scheduler {

// False here, always.  The simulator's museum is compiled with another planted.h before this one in the include path
// (tests/sim/museum), where a switch plants one mistake at a time.
constexpr bool planted(Mistake) { return false; }

}  // namespace mobula::scheduler
