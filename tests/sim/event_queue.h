#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"

namespace mobula::sim {

// The same numbers for the same seed on every compiler.
class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(base::mix64(seed)) {}

  std::uint64_t next() { return base::mix64(state_ += 0x9e3779b97f4a7c15u); }
  std::uint64_t below(std::uint64_t n) { return next() % n; }  // REQUIRES: n > 0.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  bool chance(double p) { return static_cast<double>(next() >> 11) * 0x1p-53 < p; }

 private:
  std::uint64_t state_;
};

// Virtual time: events run in order of time, then of scheduling.
class EventQueue {
 public:
  base::Time now() const { return now_; }
  void at(base::Time when, std::function<void()> what) {
    events_.push({when < now_ ? now_ : when, next_++, std::move(what)});
  }
  void after(base::Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  std::uint64_t ran() const { return ran_; }

  void run_until(base::Time end) {
    while (!events_.empty() && events_.top().when <= end) {
      Event event = std::move(const_cast<Event&>(events_.top()));
      events_.pop();
      now_ = event.when;
      ++ran_;
      event.what();
    }
    now_ = end;
  }

 private:
  struct Event {
    base::Time when;
    std::uint64_t order;
    std::function<void()> what;
    bool operator<(const Event& o) const { return when != o.when ? when > o.when : order > o.order; }
  };

  base::Time now_{std::chrono::seconds(1)};
  std::uint64_t next_ = 0, ran_ = 0;
  std::priority_queue<Event> events_;
};

}  // namespace mobula::sim
