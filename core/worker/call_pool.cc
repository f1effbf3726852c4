#include "core/worker/call_pool.h"

#include <cstddef>
#include <utility>

namespace mobula::runtime {
namespace {

constexpr std::size_t kCallsKept = 64;

}  // namespace

RunningCall& CallPool::take() {
  if (free_.empty()) {
    all_.push_back(std::make_unique<RunningCall>(executor_));
    all_.back()->pool_index = all_.size() - 1;
    free_.push_back(all_.back().get());
  }
  RunningCall& call = *free_.back();
  free_.pop_back();
  return call;
}

void CallPool::give_back(RunningCall& call) {
  call.reset();
  call.state = RunningCall::State::kFree;
  if (free_.size() < kCallsKept || all_.empty()) {
    free_.push_back(&call);
    return;
  }
  const std::size_t at = call.pool_index;
  std::swap(all_[at], all_.back());
  all_[at]->pool_index = at;
  all_.pop_back();
}

}  // namespace mobula::runtime
