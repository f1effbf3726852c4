#pragma once

#include <cstdint>
#include <optional>
#include <variant>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "scheduler/actor_lease.h"

namespace mobula::scheduler {

// Indexes into the driver's own tables, dense and small: the machine keeps arrays by them.
// A task handle may be used again once its task has ended (TaskFinished kDone, or Fail); a worker
// handle once ReturnLease has named it and its endpoint is closed.
using TaskHandle = std::uint32_t;
using WorkerHandle = std::uint32_t;
using KeyIndex = std::uint32_t;  // One per distinct (shape, strategy, job); the driver knows which.

// ---- What the owner tells the machine ----------------------------------------------------------

struct Submit {  // The task's inputs are all there.
  TaskHandle task = 0;
  KeyIndex key = 0;
  std::uint32_t retries = 0;   // kRetryForever allowed.
  base::Duration estimate{0};  // How long it will run, the same for all tasks of the key; 0: nobody knows.
};
inline constexpr std::uint32_t kRetryForever = 0xffff'ffffu;

struct Cancel {
  TaskHandle task = 0;
};
struct Granted {  // For a lease that was granted before, the same handle as then.
  KeyIndex key = 0;
  base::LeaseId lease;
  WorkerHandle worker = 0;
  std::uint64_t seq = 0;  // As in Grant.
  std::uint64_t floor = 0;
};
struct TaskFinished {
  enum class Outcome : unsigned char {
    kDone = 1,   // A value, or an error that is not to be retried.
    kAgain = 2,  // An error that counts as an attempt and may be retried.
  };
  WorkerHandle worker = 0;
  TaskHandle task = 0;
  base::Duration run_time{0};  // As the worker measured it.
  Outcome outcome = Outcome::kDone;
};
// The worker had not begun the task and will not: answers TakeBack, or comes by itself when the
// worker's running task blocks (a task must not wait behind one that waits for it).
struct TaskReturned {
  WorkerHandle worker = 0;
  TaskHandle task = 0;
};
// The endpoint broke, or the raylet said LeaseLost.  Harmless when repeated.
struct WorkerLost {
  WorkerHandle worker = 0;
  // How many of the tasks in flight, oldest first, may have begun.  The others run again for free.
  std::uint32_t begun = 0xffff'ffffu;
};
struct Recalled {
  WorkerHandle worker = 0;
};
struct DemandAcked {
  KeyIndex key = 0;
  std::uint64_t seq = 0;
};
struct ReturnAcked {
  base::LeaseId lease;
};
struct KeyUnschedulable {
  KeyIndex key = 0;
  std::uint64_t seq = 0;
};
// When the time of the whole cluster is over; nullopt: never, as far as is known.  The latest word counts.
struct ClusterEnds {
  std::optional<base::Time> at;
};
// No further task is to start: the cluster is about to end, and what runs has a moment to get done.
struct Drain {};
using SubmitInput = std::variant<Submit, Cancel, Granted, TaskFinished, TaskReturned, WorkerLost, Recalled, DemandAcked,
                                 ReturnAcked, KeyUnschedulable, ClusterEnds, Drain>;

// ---- What the machine asks of the owner --------------------------------------------------------

struct Push {  // Send the task to the worker, after what was pushed there before.
  TaskHandle task = 0;
  WorkerHandle worker = 0;
  std::uint32_t attempt = 0;  // 0 is the first.
};
struct TakeBack {  // Ask the worker for TaskReturned of each task that it has not begun.
  WorkerHandle worker = 0;
};
struct CancelRunning {  // The task is with the worker; it still ends in TaskFinished or WorkerLost.
  TaskHandle task = 0;
  WorkerHandle worker = 0;
};
struct SetDemand {  // To the raylet, as DemandSet.  Repeated until acknowledged.
  KeyIndex key = 0;
  std::uint32_t want = 0;
  std::uint64_t seq = 0;
};
struct AckGrant {
  base::LeaseId lease;
};
struct ReturnLease {  // Repeated until ReturnAcked; the first time, close the worker's endpoint.
  base::LeaseId lease;
  WorkerHandle worker = 0;
  WorkerFate fate = WorkerFate::kReusable;
};
struct Retry {  // The task will be pushed again, not before `at`.
  TaskHandle task = 0;
  std::uint32_t attempt = 0;
  base::Time at{};
};
struct Fail {  // The task has ended without a result.
  enum class Why : unsigned char {
    kWorkerDied = 1,  // And no retries are left.
    kTaskError = 2,   // kAgain, and no retries are left: the error is the last one seen.
    kCancelled = 3,
    kUnschedulable = 4,
    kQueueFull = 5,  // tasks_max.
    kNoTime = 6,     // Its estimate is longer than what is left of the cluster's time.
  };
  TaskHandle task = 0;
  Why why = Why::kWorkerDied;
};
using SubmitOutput = std::variant<Push, TakeBack, CancelRunning, SetDemand, AckGrant, ReturnLease, Retry, Fail>;

}  // namespace mobula::scheduler
