#include "core/worker/spin_pace.h"

#include <sched.h>

#include <algorithm>
#include <chrono>

#include "core/os/event_loop.h"

namespace mobula::runtime {
namespace {

using std::chrono::microseconds;

// A process that shares its core with the one it waits for only holds it up by spinning.
constexpr base::Duration kBudgetMax = microseconds(50);
constexpr base::Duration kBudgetMin = microseconds(2);
constexpr base::Duration kYieldBudgetMax = microseconds(20);  // Without a token.
constexpr int kPollsPerYield = 64;
constexpr base::Duration kEmptyYieldMax = microseconds(1);  // 100 to 500 ns without a switch, 1.5 us and more with one.

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  asm volatile("" ::: "memory");
#endif
}

}  // namespace

void SpinPace::begin(bool has_token) {
  may_spin_ = has_token;
  polls_ = 0;
  until_ = base::Time::max();
}

SpinPace::Turn SpinPace::turn() {
  if (may_spin_ && !core_is_shared_ && ++polls_ < kPollsPerYield) {
    cpu_relax();
    return Turn::kPoll;
  }
  polls_ = 0;
  const base::Time before = os::now();
  ::sched_yield();
  now_ = os::now();
  core_is_shared_ = now_ - before > kEmptyYieldMax;
  if (until_ == base::Time::max()) until_ = now_ + (may_spin_ ? budget_ : std::min(budget_, kYieldBudgetMax));
  if (now_ < until_) return Turn::kYielded;
  budget_ = std::max(budget_ / 2, kBudgetMin);
  return Turn::kSleep;
}

void SpinPace::found() {
  budget_ = std::min(budget_ * 2, kBudgetMax);
  until_ = base::Time::max();
}

}  // namespace mobula::runtime
