#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/cluster/convert.h"
#include "core/os/event_loop.h"
#include "core/os/machine_runner.h"
#include "core/rpc/rpc.h"
#include "scheduler/actor.h"

namespace mobula::gcs {

// The actors of the cluster and their names: runs the ActorMachine, and tells the nodes that watch an actor what
// becomes of it.
class ActorTable {
 public:
  struct Ports {
    std::function<rpc::Rpc*(const base::NodeId&)> channel;  // Null when the node has none.
    cluster::ResolveNode resolve_node;
    std::function<void(const base::WorkerId&)> process_gone;
    std::function<void(const base::PlacementGroupId&)> member_died;
    std::function<void(const scheduler::NodeActors&)> labelled;  // The actors of a node have other labels.
    std::function<std::string(const base::NodeId&)> node_name;
  };
  ActorTable(os::EventLoop& loop, Ports ports);
  ActorTable(const ActorTable&) = delete;
  ActorTable& operator=(const ActorTable&) = delete;

  void serve(rpc::Rpc& rpc, const base::NodeId& node);  // A raylet's channel.
  void node_changed(const scheduler::NodeView& view);
  void job_ended(const base::JobId& job);
  void group_changed(const scheduler::GroupNews& news) { step(news); }

  // Null when it waits for nothing: it is alive, dead or not known.
  std::optional<scheduler::ActorMachine::Wait> wait_of(const base::ActorId& actor) const {
    return machine_.wait_of(os::now(), actor);
  }
  // In the order of their ids.
  void each(const std::function<void(const proto::ActorInfo&)>& visit) const;

 private:
  void register_actor(proto::RegisterActor&& request, rpc::Responder responder);
  void from_node(const base::NodeId& node, const proto::ActorLease& message);
  std::optional<base::ActorId> find(const proto::ActorQuery& query) const;
  proto::ActorInfo info(const scheduler::ActorView& view) const;

  void step(scheduler::ActorInput input) { runner_.step(std::move(input)); }
  void forget_old_specs();
  void put(scheduler::ActorOutput&& output);
  void request_worker(const scheduler::ActorLease& output);
  void release(const scheduler::ActorRelease& output);
  void start(const scheduler::StartActor& output);
  void changed(const scheduler::ActorView& view);
  void send(const base::NodeId& node, const proto::ActorLease& message);

  const Ports ports_;
  scheduler::ActorMachine machine_;
  static constexpr std::size_t kSpecsKept = 32'768;
  std::map<base::ActorId, proto::ActorSpec> specs_;
  std::size_t specs_kept_ = kSpecsKept;
  std::map<base::ActorId, std::set<base::NodeId>> watchers_;
  std::map<std::uint64_t, rpc::Responder> registering_;
  std::uint64_t next_request_ = 1;
  os::MachineRunner<scheduler::ActorMachine> runner_;  // Ends first.
};

}  // namespace mobula::gcs
