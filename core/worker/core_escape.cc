#include "core/worker/core_escape.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "core/os/affinity.h"
#include "core/os/event_loop.h"

namespace mobula::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kWaitsMin = 32;
constexpr base::Duration kPauseMin = milliseconds(4);  // A time slice: the kernel has had its say.
constexpr base::Duration kPauseMax = seconds(1);

}  // namespace

CoreEscape::CoreEscape() : seed_(static_cast<std::uint32_t>(::getpid())) { choose_limit(); }

void CoreEscape::choose_limit() {
  seed_ = seed_ * 1'664'525u + 1'013'904'223u;  // Numerical Recipes' generator.
  limit_ = kWaitsMin + (seed_ >> 25);
}

bool CoreEscape::shared() {
  if (++in_a_row_ < limit_) return false;
  in_a_row_ = 0;
  const base::Time now = os::now();
  if (now < not_before_) return false;
  pause_ = now - not_before_ > kPauseMax ? kPauseMin : std::min<base::Duration>(pause_ * 2, kPauseMax);
  not_before_ = now + pause_;
  choose_limit();
  return os::leave_current_cpu();
}

}  // namespace mobula::runtime
