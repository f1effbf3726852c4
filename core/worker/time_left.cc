#include "core/worker/time_left.h"

#include <algorithm>
#include <chrono>

#include "core/os/event_loop.h"
#include "core/worker/submitter.h"

namespace mobula::runtime {

std::optional<base::Duration> TimeLeft::left() const {
  const std::int64_t end = end_unix_ms_.load(std::memory_order_relaxed);
  if (end == 0) return std::nullopt;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::max(base::Duration(std::chrono::milliseconds(end) - now), base::Duration::zero());
}

void TimeLeft::set_end(std::int64_t end_unix_ms) {
  if (end_unix_ms_.exchange(end_unix_ms, std::memory_order_relaxed) == end_unix_ms) return;
  const auto remaining = left();
  submitter_.cluster_ends(remaining ? std::optional(os::now() + *remaining) : std::nullopt);
}

}  // namespace mobula::runtime
