#pragma once

#include "scheduler/mistake.h"

namespace mobula::scheduler {

// Instead of the other planted.h: the museum's include path has this one first.
inline Mistake planted_mistake = Mistake::kNone;
inline bool planted(Mistake mistake) { return mistake == planted_mistake; }

}  // namespace mobula::scheduler
