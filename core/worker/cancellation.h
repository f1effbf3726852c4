#pragma once

#include <cstdint>

#include "core/worker/actor_client.h"
#include "core/worker/submitter.h"
#include "core/worker/task_table.h"
#include "core/worker/thread_context.h"

namespace mobula::runtime {

// Ends calls that this process has submitted.
//
// Who has submitted what is not written down: the ids of a task's children derive from its own and their number, so a
// cancellation, which is rare, finds them, and a submission, which is not, pays nothing.
//
// Under the engine's lock.
class Cancellation {
 public:
  enum class Force : std::uint8_t { kNo, kYes };          // Ends the worker of a task that runs.
  enum class Reach : std::uint8_t { kAlone, kChildren };  // With what it has submitted, and what that has.

  Cancellation(TaskTable& tasks, Submitter& submitter, ActorClient& actors)
      : tasks_(tasks), submitter_(submitter), actors_(actors) {}

  void cancel(Task& task, Force force, Reach reach);
  // All calls that the task of this scope has submitted and that have not ended, each with its children.
  void cancel_children(const CallScope& parent, Force force);

 private:
  TaskTable& tasks_;
  Submitter& submitter_;
  ActorClient& actors_;
};

}  // namespace mobula::runtime
