#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <utility>

#include "core/worker/running_call.h"

namespace mobula::runtime {

// Received calls that have not begun, in the order in which they came.  An actor's calls keep that order, so that the
// first must be ready; tasks may pass one that waits for its arguments.
//
// Under the engine's lock.
class CallQueue {
 public:
  bool empty() const { return calls_.empty(); }
  const RunningCall& front() const { return *calls_.front(); }  // REQUIRES: not empty.
  void push(RunningCall& call) { calls_.push_back(&call); }

  enum class Order { kStrict, kReadyFirst };
  bool has_ready(Order order) const { return find_ready(order) != calls_.size(); }
  RunningCall* take_ready(Order order) {
    const std::size_t at = find_ready(order);
    return at == calls_.size() ? nullptr : take_at(at);
  }
  // The first that `wanted` is true of.
  template <class Wanted>
  RunningCall* take_first(Wanted&& wanted) {
    const auto at = std::ranges::find_if(calls_, [&](const RunningCall* c) { return wanted(*c); });
    return at == calls_.end() ? nullptr : take_at(static_cast<std::size_t>(at - calls_.begin()));
  }
  template <class Wanted>
  bool any(Wanted&& wanted) const {
    return std::ranges::any_of(calls_, [&](const RunningCall* c) { return wanted(*c); });
  }
  // Takes each call that `wanted` is true of, in order, and hands it to `f`.
  template <class Wanted, class F>
  void take_each(Wanted&& wanted, F&& f) {
    std::deque<RunningCall*> kept;
    for (RunningCall* call : std::exchange(calls_, {})) {
      if (wanted(std::as_const(*call))) {
        f(*call);
      } else {
        kept.push_back(call);
      }
    }
    calls_ = std::move(kept);
  }

 private:
  std::size_t find_ready(Order order) const {
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if (calls_[i]->state == RunningCall::State::kReady) return i;
      if (order == Order::kStrict) break;
    }
    return calls_.size();
  }
  RunningCall* take_at(std::size_t at) {
    RunningCall* call = calls_[at];
    calls_.erase(calls_.begin() + static_cast<std::ptrdiff_t>(at));
    return call;
  }

  std::deque<RunningCall*> calls_;
};

}  // namespace mobula::runtime
