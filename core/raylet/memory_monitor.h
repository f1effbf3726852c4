#pragma once

#include <functional>
#include <vector>

#include "core/os/event_loop.h"
#include "scheduler/memory_guard.h"

namespace mobula::raylet {

// Looks at the node's memory from time to time, more often when it is nearly full, and ends whom the guard chooses.
// Belongs to the raylet's loop.
class MemoryMonitor {
 public:
  struct Ports {
    std::function<scheduler::MemoryLook()> look;
    std::function<std::vector<scheduler::MemoryUser>()> users;
    std::function<void(const scheduler::MemoryVictim&)> end;
  };
  MemoryMonitor(os::EventLoop& loop, scheduler::MemoryGuardLimits limits, Ports ports);
  ~MemoryMonitor();
  MemoryMonitor(const MemoryMonitor&) = delete;
  MemoryMonitor& operator=(const MemoryMonitor&) = delete;

 private:
  void look();

  os::EventLoop& loop_;
  const Ports ports_;
  scheduler::MemoryGuard guard_;
  os::EventLoop::Id timer_ = 0;
};

scheduler::MemoryLook look_at_memory();  // Of this machine, or of the control group that is nearest to its limit.

}  // namespace mobula::raylet
