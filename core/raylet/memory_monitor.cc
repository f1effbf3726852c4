#include "core/raylet/memory_monitor.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/os/host.h"

namespace mobula::raylet {
namespace {

// A look costs half a millisecond where a control group has a limit.
constexpr auto kEvery = std::chrono::milliseconds(250);
constexpr auto kEveryNearLimit = std::chrono::milliseconds(25);

bool is_near(const scheduler::MemoryLook& look) { return look.used >= look.limit / 10 * 6; }

}  // namespace

scheduler::MemoryLook look_at_memory() {
  const std::uint64_t limit = os::memory_limit_bytes();
  return {limit, limit - std::min(limit, os::memory_available_bytes())};
}

MemoryMonitor::MemoryMonitor(os::EventLoop& loop, scheduler::MemoryGuardLimits limits, Ports ports)
    : loop_(loop), ports_(std::move(ports)), guard_(limits) {
  if (limits.percent != 0) look();
}

MemoryMonitor::~MemoryMonitor() { loop_.cancel(timer_); }

void MemoryMonitor::look() {
  const scheduler::MemoryLook seen = ports_.look();
  if (guard_.is_short(seen)) {
    if (const auto victim = guard_.choose(os::now(), seen, ports_.users())) ports_.end(*victim);
  }
  timer_ = loop_.after(is_near(seen) ? kEveryNearLimit : kEvery, [this] { look(); });
}

}  // namespace mobula::raylet
