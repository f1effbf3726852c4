#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "core/base/machine.h"
#include "scheduler/submit_messages.h"

namespace mobula::scheduler {

struct SubmitLimits {
  std::uint32_t tasks_max = 1u << 26;
  std::uint32_t keys_max = 1u << 16;
  std::uint32_t workers_max = 1u << 16;
  std::uint32_t want_max = 4'096;        // Slots of one key.
  std::uint64_t grant_window = 1'024;    // The raylet's owner_window.
  std::uint32_t depth_max = 16;          // Tasks in flight on one worker; at most kDepthMax.
  base::Duration pile_target = std::chrono::microseconds(200);  // Work that may wait on one worker.
  base::Duration drain_target = std::chrono::milliseconds(5);   // In which the slots wanted would empty the queue.
  base::Duration stall_after = std::chrono::milliseconds(2);    // No result so long: take back what waits behind.
  base::Duration keep_idle = std::chrono::milliseconds(500);    // A lease without work.
  base::Duration demand_every = std::chrono::milliseconds(1);   // Changes of demand, unless it doubles.
  base::Duration resend_every = std::chrono::milliseconds(500);
  base::Duration retry_backoff = std::chrono::milliseconds(20);  // Doubling with each attempt
  base::Duration retry_backoff_max = std::chrono::seconds(5);    // up to this.
};

// Decides which ready task of this owner goes to which leased worker, and how many leases to ask for.
//
// Tasks of a key wait in one line.  A task goes to the worker with the fewest in flight, among equals to
// the one used last; it waits behind others only while the tasks of the key are short: at most
// pile_target of work, by the measured mean.  What waits behind a task that turns out long is taken
// back.  Demand is the number of slots that would empty the queue in drain_target, at most one per task.
// A lease without work is kept for keep_idle, unless another key waits for slots, or it is recalled.
//
// A task that was in flight on a lost worker is retried while it has retries left, after a backoff; one that
// had not begun is pushed again for free.  Each task ends exactly once: TaskFinished kDone or Fail.
//
// Invariant: each task known is waiting, backing off, or in flight on one worker; counts agree.
// submit() and finished() are step() without the variant: O(1), no allocation once the tables have grown.
// Not thread-safe; owned by whoever holds the engine.
class SubmitMachine {
 public:
  using Input = SubmitInput;
  using Output = SubmitOutput;

  static constexpr std::uint32_t kDepthMax = 63;

  explicit SubmitMachine(SubmitLimits limits);
  ~SubmitMachine();

  void step(base::Time now, SubmitInput input, base::Outbox<SubmitOutput>& out);
  void tick(base::Time now, base::Outbox<SubmitOutput>& out);
  std::optional<base::Time> next_deadline() const;  // O(1).
  bool is_valid() const;                            // O(everything).

  void submit(base::Time now, const Submit& input, base::Outbox<SubmitOutput>& out);
  void finished(base::Time now, const TaskFinished& input, base::Outbox<SubmitOutput>& out);

  struct Counts {
    std::size_t waiting = 0, backing_off = 0, in_flight = 0, leases = 0, returning = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::scheduler
