#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/cpu_set.h"
#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/cluster/convert.h"
#include "core/os/event_loop.h"
#include "core/os/machine_runner.h"
#include "core/rpc/rpc.h"
#include "scheduler/lease.h"

namespace mobula::raylet {

// What a worker is told before the lease is granted that it is for.  Equal ones need no telling.
struct WorkerBinding {
  base::CpuSet pus;                    // Of its bundle; empty: all of the node's.
  std::vector<std::uint16_t> gpus;     // That are its alone, or shared.
  std::optional<std::uint16_t> nic{};  // Of its bundle; else the raylet names the nearest of its GPUs.
  base::PlacementGroupId captured;
  bool operator==(const WorkerBinding&) const = default;
};

// Runs the node's LeaseMachine: turns messages into its inputs and its outputs into messages.  Decides nothing.
class LeaseDriver {
 public:
  // How the outputs leave.  None may be called back into the driver but through step(), which may be called any time.
  struct Ports {
    std::function<rpc::Rpc*(const base::WorkerId&)> client;  // Null when it is gone.
    std::function<void(const base::NodeId& peer, proto::PeerLease&& message)> to_peer;
    std::function<void(const proto::ActorLease& message)> to_gcs;
    std::function<void(const base::JobId& job, std::uint32_t count)> start_workers;
    std::function<void(const proto::BundleHold& message)> bundles_to_gcs;
    std::function<void(const base::PlacementGroupId&)> watch_group;  // Its news come as GroupNews, the first at once.
    // `done` once the worker has done it, or is gone.
    std::function<void(const base::WorkerId&, const WorkerBinding&, std::function<void()> done)> bind;
    std::function<void(const scheduler::StopWorker&)> stop_worker;
    std::function<void(std::uint64_t version, const base::Resources& available)> publish;
    cluster::ResolveNode resolve_node;
    std::function<std::string(const base::NodeId&)> node_name;
  };
  LeaseDriver(os::EventLoop& loop, scheduler::LeaseMachine::Self self, const scheduler::LeaseLimits& limits,
              Ports ports);
  LeaseDriver(const LeaseDriver&) = delete;
  LeaseDriver& operator=(const LeaseDriver&) = delete;

  // DEMAND, RETURN_LEASE, BLOCKED and UNBLOCKED of a driver or worker.
  void serve(rpc::Rpc& rpc, const base::WorkerId& owner, const base::JobId& job);
  void from_peer(const base::NodeId& peer, const proto::PeerLease& message);
  void from_gcs(const proto::ActorLease& message);  // REQUEST and RELEASE.
  void from_gcs(const proto::BundleHold& message);  // PREPARE, COMMIT and RELEASE.
  void group_news(const scheduler::GroupNews& news);
  void step(scheduler::LeaseInput input) { runner_.step(std::move(input)); }
  // A worker of the job is there, or could not be started.  The machine tries again for ever; owners here are told
  // after a while that their program does not start, and why, so that their tasks end in an error.
  void worker_ready(const base::WorkerId& worker, const base::JobId& job, std::string address);
  void start_failed(const base::JobId& job, const proto::ExitCause& cause);
  void owner_gone(const base::WorkerId& owner);
  const WorkerBinding* binding_of(const base::WorkerId& worker) const;  // Null: it was told nothing.

  const scheduler::LeaseMachine& machine() const { return machine_; }

 private:
  struct Failures {
    std::uint32_t count = 0;  // In a row.
    base::Time first{};
    proto::ExitCause cause;                    // The newest.
    bool add(const proto::ExitCause& newest);  // True when there is no more hope.
  };
  void put(scheduler::LeaseOutput&& output);
  bool put_after_binding(const scheduler::LeaseOutput& output);
  void put_to_owner(scheduler::LeaseOutput&& output);
  void put_to_peer(scheduler::LeaseOutput&& output);
  void put_to_gcs(scheduler::LeaseOutput&& output);
  void put_bundles(scheduler::LeaseOutput&& output);
  void demand(const base::WorkerId& owner, const base::JobId& job, const proto::Demand& message,
              rpc::Responder responder);
  void acknowledge_demand(const base::WorkerId& owner, std::uint32_t key, std::uint64_t sequence);
  void grant(const scheduler::Grant& output);
  void unschedulable(const scheduler::Unschedulable& output);
  void lost(const scheduler::LeaseLost& output);
  void tell_owner(const base::WorkerId& owner, std::uint32_t key, const Failures& failures, const base::NodeId& node);
  void refused_by_peer(const base::NodeId& peer, const base::LeaseId& lease, const std::string& why);

  const base::NodeId node_;
  const Ports ports_;
  scheduler::LeaseMachine machine_;

  struct Wanted {  // The newest word of a demand that wants anything.
    base::JobId job;
    std::uint64_t sequence = 0;
  };
  std::map<std::pair<base::WorkerId, std::uint32_t>, Wanted> wanted_;
  std::map<base::JobId, Failures> failures_;  // Of starts here.
  // Of starts on other nodes, by the owner's key: that is what is not served.
  std::map<std::pair<base::WorkerId, std::uint32_t>, Failures> peer_failures_;
  std::map<base::LeaseId, std::pair<base::WorkerId, std::uint32_t>> asked_of_peers_;  // Not yet answered.
  std::map<base::LeaseId, base::JobId> asked_by_peers_;
  std::set<base::PlacementGroupId> watched_groups_, capturing_;
  std::map<base::WorkerId, WorkerBinding> bindings_;
  std::map<base::WorkerId, base::LeaseId> binding_now_;  // Not answered yet.

  struct PendingDemand {
    std::uint64_t sequence = 0;
    rpc::Responder responder;
  };
  std::map<std::pair<base::WorkerId, std::uint32_t>, PendingDemand> demands_;  // Not yet acknowledged.
  std::map<std::pair<base::WorkerId, base::LeaseId>, std::vector<rpc::Responder>> returns_;
  os::MachineRunner<scheduler::LeaseMachine> runner_;  // Ends first.
};

}  // namespace mobula::raylet
