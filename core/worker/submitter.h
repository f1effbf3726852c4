#pragma once

#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/rpc/rpc.h"
#include "core/worker/calls.h"
#include "core/worker/engine.h"
#include "core/worker/raylet_link.h"
#include "scheduler/submit.h"

namespace mobula::runtime {

// Drives the SubmitMachine of this process: tasks to leased workers, demand to the raylet, ends of attempts to results.
//
// Under the engine's lock.
class Submitter final : public CallTracker {
 public:
  Submitter(Engine& engine, Calls& calls, Links& links, RayletLink& raylet);

  const TaskSpecOptions& options(OptionsHandle handle) const { return options_[handle]; }
  OptionsHandle intern(const TaskSpecOptions& options);
  void submit(const FunctionEntry& function, OptionsHandle options, const base::TaskId& id, Arguments&& arguments,
              std::span<ObjectRef> out);
  // A call that Calls::make_again() has made.
  void submit_again(Task& task);
  std::int64_t max_retries(const Task& task) const { return options_[task.options].max_retries; }  // -1: for ever.
  void cancel(Task& task, bool force, bool recursive);

  // A reply to a task in flight.
  void on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload);
  void on_peer_lost(Peer& peer);
  // From the raylet.
  void on_grant(const proto::Grant& grant, rpc::Responder responder);
  void on_recall(const std::string& lease);  // Its id's bytes.
  void on_worker_lost(const proto::WorkerLost& lost);
  void on_unschedulable(const proto::Unschedulable& message);
  // Starts no further task.
  void drain() { run(scheduler::Drain{}); }
  std::size_t in_flight() const { return machine_.counts().in_flight; }
  // The cluster's time is over then; nullopt: nobody knows of an end.
  void cluster_ends(std::optional<base::Time> at);
  void fail_all(const ErrorInfo& error);

  // Runs timers of the machine that are due; called by the engine's loop.
  void tick();

 private:
  struct Lease {
    base::LeaseId id;
    Peer* peer = nullptr;
    scheduler::KeyIndex key = 0;
    bool live = false;
    std::optional<ErrorInfo> cause;  // Why its worker died.
  };

  void arguments_ready(Task& task) override;
  void argument_failed(Task& task, const ErrorInfo& error) override;
  void start(Task& task);
  void run(scheduler::SubmitInput input);
  void carry_out();
  void do_output(const scheduler::SubmitOutput& output);
  void push(const scheduler::Push& push);
  void set_demand(const scheduler::SetDemand& demand);
  void return_lease(const scheduler::ReturnLease& give_back);
  void fail(const scheduler::Fail& fail);
  std::string what_runs(scheduler::KeyIndex key) const;
  void remember_function(OptionsHandle key, const FunctionEntry& function);
  ErrorInfo no_time_error(const Task& task) const;
  void lose_worker(std::uint32_t handle);
  void arm_timer();

  Engine& engine_;
  Calls& calls_;
  Links& links_;
  RayletLink& raylet_;
  scheduler::SubmitMachine machine_;
  base::Outbox<scheduler::SubmitOutput> out_;
  bool carrying_out_ = false;
  std::deque<scheduler::SubmitInput> later_;  // Inputs that came while outputs were carried out.

  std::deque<TaskSpecOptions> options_;  // By handle.
  std::vector<Lease> leases_;            // By worker handle.
  std::vector<std::uint32_t> free_leases_;
  std::unordered_map<base::LeaseId, std::uint32_t> lease_handles_;
  static constexpr std::size_t kFunctionsNamed = 4;
  std::unordered_map<OptionsHandle, std::vector<const FunctionEntry*>> functions_;
  std::pair<OptionsHandle, const FunctionEntry*> last_function_{};
  std::unordered_map<scheduler::KeyIndex, ErrorInfo> unschedulable_;
  std::optional<base::Time> ends_at_;       // Of the cluster.
  std::optional<ErrorInfo> down_;           // The cluster is gone: nothing is decided any more.
  std::optional<ErrorInfo> current_cause_;  // Of the worker being lost.
  std::size_t retried_ = 0;                 // Tasks that run again for that cause,
  std::string first_retried_;
  std::optional<base::Time> armed_;
  os::EventLoop::Id timer_ = 0;
};

}  // namespace mobula::runtime
