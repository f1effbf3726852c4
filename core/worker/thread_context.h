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

// What the ids of its calls and puts derive from: a run of its own for each attempt, since what a task owns dies with
// the worker that ran it, and a second run's objects are other ones.
inline base::TaskId origin_of(const CallScope& scope) {
  return scope.attempt == 0 ? scope.task : base::derive<base::TaskId>(scope.task, ~std::uint64_t{0} - scope.attempt);
}

// Null on threads that run no task.
CallScope*& current_scope();

// Whose ids the calling thread's calls and puts derive from: those of its task, else those of the process itself.
class Scopes {
 public:
  explicit Scopes(const CallScope& root) : root_(root) {}

  const CallScope& root() const { return root_; }
  // The placement group that this worker's calls belong to, unless they name one; nil: none.  Under the engine's lock.
  const base::PlacementGroupId& captured_group() const { return captured_; }
  void set_captured_group(const base::PlacementGroupId& group) { captured_ = group; }
  void set_job(const base::JobId& job) { root_.job = job; }
  CallScope& mine() {
    CallScope* const task = current_scope();
    return task != nullptr ? *task : root_;
  }

  // Under the engine's lock.
  base::TaskId next_task() { return base::derive<base::TaskId>(origin_of(mine()), ++mine().children); }
  base::ActorId next_actor() { return base::derive<base::ActorId>(origin_of(mine()), ++mine().children); }
  base::ObjectId next_put() { return base::object_of(origin_of(mine()), base::kPutIndex + ++mine().puts); }

 private:
  CallScope root_;
  base::PlacementGroupId captured_;
};

}  // namespace mobula::runtime
