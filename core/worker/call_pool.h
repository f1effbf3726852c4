#pragma once

#include <memory>
#include <vector>

#include "core/worker/running_call.h"

namespace mobula::runtime {

// The records of calls: made when needed, kept and used again.
//
// Under the engine's lock.
class CallPool {
 public:
  explicit CallPool(Executor& executor) : executor_(executor) {}

  RunningCall& take();
  void give_back(RunningCall& call);

 private:
  Executor& executor_;
  std::vector<std::unique_ptr<RunningCall>> all_;
  std::vector<RunningCall*> free_;
};

}  // namespace mobula::runtime
