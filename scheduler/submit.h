#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/request_window.h"
#include "scheduler/submit_messages.h"

namespace mobula::scheduler {

struct SubmitLimits {
  std::uint32_t tasks_max = 1u << 26;
  std::uint32_t keys_max = 1u << 16;
  std::uint32_t workers_max = 1u << 16;
  std::uint32_t want_max = 4'096;                               // Slots of one key.
  std::uint64_t grant_window = 1'024;                           // The raylet's owner_window.
  std::uint32_t depth_max = 16;                                 // Tasks in flight on one worker; at most kDepthMax.
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
// back.  Demand is the number of slots that would empty the queue in drain_target, at most one per task; a worker
// whose task turned out long counts as one slot more, since it empties nothing.
// A lease without work is kept for keep_idle, unless another key waits for slots, or it is recalled.
//
// A task with an estimate is started only if it ends before the cluster does: it fails as soon as it cannot, and it
// never waits behind another on a worker, so that pushed is started.  After Drain nothing is started any more.
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
  static constexpr std::uint32_t kNone = 0xffff'ffffu;
  enum class TaskState : std::uint8_t { kUnknown = 0, kWaiting, kBackingOff, kInFlight };
  enum class WorkerState : std::uint8_t { kUnknown = 0, kServing, kDraining };

  // Lists run through the slots: a waiting task stands in its key's line, one in flight in its worker's.
  struct Task {
    std::uint32_t next = kNone, previous = kNone;
    std::uint32_t worker = kNone;  // Of kInFlight.
    std::uint32_t key = 0;
    std::uint32_t attempt = 0;
    std::uint32_t retries_left = 0;
    std::uint32_t tag = 0;  // Tells a new use of the handle from an old backoff.
    TaskState state = TaskState::kUnknown;
    bool cancelled = false;
  };
  struct List {
    std::uint32_t first = kNone, last = kNone, size = 0;
  };
  struct Worker {
    List tasks;                                    // In flight, oldest first.
    std::uint32_t next = kNone, previous = kNone;  // In its key's bucket.
    std::uint32_t key = 0;
    WorkerState state = WorkerState::kUnknown;
    bool asked_back = false;  // It stalls: no result for stall_after; what waited behind the first task was taken back.
    base::Time moved_at{};    // Last result, or first push after none was in flight.
    base::LeaseId lease;
  };
  struct Key {
    List waiting;
    std::array<std::uint32_t, kDepthMax + 1> buckets;  // Serving workers by number in flight; kNone: empty.
    std::uint64_t filled = 0;                          // Bit n: buckets[n] is not empty.
    std::uint32_t depth = 1;
    std::uint32_t in_flight = 0, backing_off = 0, workers = 0;  // workers: serving ones.
    std::uint32_t stalled = 0;                                  // Serving workers that were asked back.
    std::int64_t mean_ns = -1;                                  // Of run times, moving; -1: none yet.
    base::Duration estimate{0};                                 // 0: none.
    std::uint32_t want = 0;                                     // As last told.
    std::uint64_t seq = 0, acked = 0;
    base::Time told_at{};
    bool live = false;                         // In live_keys_.
    std::optional<base::Time> starving_since;  // Tasks wait and there is no worker at all.
  };
  struct Backoff {
    base::Time at;
    std::uint64_t order;
    TaskHandle task;
    std::uint32_t tag;
  };
  struct Returning {
    WorkerHandle worker;
    WorkerFate fate;
    base::Time resend_at;
  };

  void on(base::Time now, const Submit& e, base::Outbox<SubmitOutput>& out) { submit(now, e, out); }
  void on(base::Time now, const TaskFinished& e, base::Outbox<SubmitOutput>& out) { finished(now, e, out); }
  void on(base::Time now, const Cancel& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const Granted& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const TaskReturned& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const WorkerLost& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const Recalled& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const DemandAcked& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const ReturnAcked& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const KeyUnschedulable& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const ClusterEnds& e, base::Outbox<SubmitOutput>& out);
  void on(base::Time now, const Drain& e, base::Outbox<SubmitOutput>& out);

  void link_front(List& list, std::uint32_t task);
  void link_back(List& list, std::uint32_t task);
  void unlink(List& list, std::uint32_t task);
  void bucket_in(Key& key, std::uint32_t worker);
  void bucket_out(Key& key, std::uint32_t worker);
  void pump(base::Time now, std::uint32_t key, base::Outbox<SubmitOutput>& out);
  void fail_waiting(Key& key, Fail::Why why, base::Outbox<SubmitOutput>& out);
  void fail_late(base::Time now, Key& key, base::Outbox<SubmitOutput>& out);
  void push(base::Time now, std::uint32_t worker, base::Outbox<SubmitOutput>& out);
  void leave_worker(std::uint32_t task);
  void after_leaving(base::Time now, std::uint32_t worker, base::Outbox<SubmitOutput>& out);
  void measure(Key& key, base::Duration run_time);
  void again(base::Time now, std::uint32_t task, Fail::Why why, base::Outbox<SubmitOutput>& out);
  void end(std::uint32_t task) { tasks_[task].state = TaskState::kUnknown; }
  void take_back(std::uint32_t worker, base::Outbox<SubmitOutput>& out);
  std::uint32_t wanted(const Key& key) const;
  void update_demand(base::Time now, std::uint32_t key, base::Outbox<SubmitOutput>& out);
  void tell_demand(base::Time now, std::uint32_t key, std::uint32_t want, base::Outbox<SubmitOutput>& out);
  void make_live(std::uint32_t key);
  void note_starving(base::Time now, Key& key);
  void requeue(std::uint32_t task);
  void forget_worker(std::uint32_t worker, WorkerFate fate, base::Time now, base::Outbox<SubmitOutput>& out);
  void sweep(base::Time now, base::Outbox<SubmitOutput>& out);
  void sweep_worker(base::Time now, std::uint32_t worker, base::Outbox<SubmitOutput>& out);
  void sweep_key(base::Time now, std::uint32_t key, base::Outbox<SubmitOutput>& out);
  void sweep_by(base::Time at) { sweep_at_ = at < sweep_at_ ? at : sweep_at_; }
  bool knows_worker(WorkerHandle worker) const;
  static bool is_open(const Worker& w) { return w.state == WorkerState::kServing && !w.asked_back; }
  bool in_flight_on(TaskHandle task, WorkerHandle worker) const;

  const SubmitLimits limits_;
  std::vector<Task> tasks_;
  std::vector<Worker> workers_;
  std::vector<Key> keys_;
  std::vector<std::uint32_t> live_workers_;  // Serving and draining.
  std::vector<std::uint32_t> live_keys_;     // With tasks, workers or a demand unacknowledged.
  std::vector<Backoff> backoffs_;            // A heap, the earliest first.
  std::uint64_t backoff_order_ = 0;
  std::map<base::LeaseId, Returning> returning_;
  base::RequestReceiver grants_;
  std::size_t starving_keys_ = 0;
  bool hungry_ = false;                // Some key has starved for stall_after.
  std::optional<base::Time> ends_at_;  // Of the cluster.
  bool draining_ = false;
  base::Time sweep_at_ = base::Time::max();  // The next look over workers and keys.
};

}  // namespace mobula::scheduler
