#pragma once

#include <cstdint>

#include "core/base/ids.h"

namespace mobula::runtime {

class RunningCall;

// What the calling thread is doing: counters from which the ids of its calls and puts derive.  One per task under way,
// one for everything outside tasks.
struct CallScope {
  base::TaskId task;
  base::ActorId actor;
  base::JobId job;
  std::uint32_t attempt = 0;
  std::uint64_t children = 0;   // Under the engine's lock.
  std::uint32_t puts = 0;       // Likewise.
  RunningCall* call = nullptr;  // Null outside tasks.
};

// Null on threads that run no task.
CallScope*& current_scope();

}  // namespace mobula::runtime
