#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"
#include "scheduler/actor_lease.h"

namespace mobula::scheduler {

// Asked of the node.  Each worker asked for ends in WorkerReady or counts in StartFailed.
struct StartWorkers {
  base::JobId job;
  std::uint32_t count = 0;
};
// Ends in WorkerGone, or, for an idle worker asked to drain that still owns objects, in another
// WorkerReady: it stays.
struct StopWorker {
  base::WorkerId worker;
  StopMode mode = StopMode::kKill;
  std::string why;  // For people; empty: its owner is gone, or it is not needed.
};

// What a worker has of a node's GPUs: its contexts hold memory on each of them for as long as it lives.
struct GpuUse {
  std::vector<std::uint16_t> gpus;
  base::Amount share;  // Of each of them.

  explicit operator bool() const { return !gpus.empty(); }
};

struct WorkerPoolLimits {
  std::uint32_t cores = 1;            // Workers kept idle, and started ahead for each job.
  std::uint32_t workers_max = 1'024;  // Processes, starting ones included: the headroom for nested waits.
  std::uint32_t starting_max = 16;    // At a time.
  base::Duration idle_timeout = std::chrono::seconds(2);          // Of workers beyond `cores`, and those with GPUs.
  base::Duration start_backoff = std::chrono::milliseconds(100);  // After a failed start, doubling
  base::Duration start_backoff_max = std::chrono::seconds(5);     // up to this.
};

// The worker processes of one node: who is idle, how many are on their way, who has to go.
//
// A worker is idle, held by a lease, or leaving.  Idle ones serve only their own job; the one that was
// used last is taken first.  Those beyond `cores` are asked to leave after idle_timeout, oldest first.
//
// One that has used GPUs serves only leases of the very same ones from then on, and none without any.
//
// Invariant: size() + starting() <= workers_max, but for processes that nobody asked for.
class WorkerPool {
 public:
  enum class State : unsigned char { kIdle = 1, kHeld, kLeaving };
  struct Worker {
    base::JobId job;
    std::string address;
    State state = State::kIdle;
    base::LeaseId lease;  // Of kHeld, and of kLeaving when a lease made it leave.
    base::Time idle_since{};
    GpuUse uses;
    bool stays = false;  // It was asked to leave, and owns objects: its contexts are there to stay.
  };

  explicit WorkerPool(WorkerPoolLimits limits) : limits_(limits) {}

  void job_started(const base::JobId& job);
  void job_ended(const base::JobId& job, base::Outbox<StopWorker>& out);
  bool has_ended(const base::JobId& job) const { return ended_.contains(job); }

  void ready(base::Time now, const base::WorkerId& worker, const base::JobId& job, std::string address);
  // What the process was doing; none when it was not known.
  std::optional<Worker> gone(const base::WorkerId& worker);
  void start_failed(base::Time now, const base::JobId& job, std::uint32_t count);

  std::optional<base::WorkerId> take(const base::JobId& job, const base::LeaseId& lease, const GpuUse& wanted = {});
  // The one that take() would give, if it has used these GPUs before.
  std::optional<base::WorkerId> fitting(const base::JobId& job, const GpuUse& wanted) const;
  void give_back(base::Time now, const base::WorkerId& worker);  // REQUIRES: held.
  void leave(const base::WorkerId& worker);                      // REQUIRES: known.
  // Those that have used GPUs and whose lease is over: idle ones, and those that were asked to leave then.
  const std::set<base::WorkerId>& resting() const { return resting_; }
  const Worker* find(const base::WorkerId& worker) const;

  // Asks for the workers that `waiting` leases per job lack; makes room among other jobs' idle ones.
  void start(base::Time now, const std::map<base::JobId, std::uint32_t>& waiting, base::Outbox<StartWorkers>& starts,
             base::Outbox<StopWorker>& stops);
  void reap(base::Time now, base::Outbox<StopWorker>& out);
  std::optional<base::Time> next_deadline() const;

  std::size_t size() const { return workers_.size(); }
  std::size_t idle() const { return idle_count_; }
  std::uint32_t starting() const { return starting_count_; }
  bool is_valid() const;

 private:
  static constexpr std::size_t kEndedMax = 4'096;
  struct Job {
    std::vector<base::WorkerId> idle;  // Longest idle first.
    std::uint32_t starting = 0;
    std::uint32_t ahead = 0;  // Still to be started before anyone asks.
    base::Duration backoff{0};
    std::optional<base::Time> start_after;
  };

  void make_idle(base::Time now, const base::WorkerId& worker, Worker& w);
  void leave_idle(const base::WorkerId& worker, const Worker& w);
  std::optional<base::Time> next_resting() const;
  std::optional<base::WorkerId> longest_idle() const;
  void forget_if_empty(const base::JobId& job);

  const WorkerPoolLimits limits_;
  std::map<base::WorkerId, Worker> workers_;
  std::map<base::JobId, Job> jobs_;
  std::set<base::JobId> ended_;
  std::deque<base::JobId> ended_order_;  // Oldest first; as many as ended_.
  bool ended_idle_ = false;              // Some idle worker's job has ended.
  std::set<base::WorkerId> resting_;
  std::optional<base::Time> room_after_;  // When those that hold the room back may be asked again.
  std::size_t idle_count_ = 0;
  std::uint32_t starting_count_ = 0;
};

}  // namespace mobula::scheduler
