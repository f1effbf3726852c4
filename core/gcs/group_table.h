#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/topology.h"
#include "core/os/event_loop.h"
#include "core/os/machine_runner.h"
#include "core/rpc/rpc.h"
#include "scheduler/group.h"

namespace mobula::gcs {

// The placement groups of the cluster: runs the GroupMachine, and tells those who wait for a group, and the nodes whose
// work lies in one, what becomes of it.
class GroupTable {
 public:
  struct Ports {
    std::function<rpc::Rpc*(const base::NodeId&)> channel;               // Null when the node has none.
    std::function<const base::Topology*(const base::NodeId&)> topology;  // Null for a node that is not known.
    std::function<std::string(const base::NodeId&)> node_name;
    std::function<void(const scheduler::GroupNews&)> changed;
  };
  GroupTable(os::EventLoop& loop, Ports ports);
  GroupTable(const GroupTable&) = delete;
  GroupTable& operator=(const GroupTable&) = delete;

  void serve(rpc::Rpc& rpc, const base::NodeId& node);  // A raylet's channel.
  void node_changed(const scheduler::NodeView& view);
  void job_ended(const base::JobId& job) { step(scheduler::GroupJobEnded{job}); }
  void member_died(const base::PlacementGroupId& group);  // An actor inside, for good.
  void owner_gone(const base::WorkerId& owner) { step(scheduler::GroupOwnerGone{owner}); }

  // In the order of their ids.
  void each(const std::function<void(const scheduler::GroupView&)>& visit) const { machine_.each(visit); }

 private:
  void create(const proto::GroupSpec& spec, rpc::Responder responder);
  void from_node(const base::NodeId& node, const proto::BundleHold& message);
  std::optional<base::PlacementGroupId> find(const proto::GroupQuery& query) const;
  proto::GroupInfo info(const scheduler::GroupView& view) const;

  void step(scheduler::GroupInput input) { runner_.step(std::move(input)); }
  void put(scheduler::GroupOutput&& output);
  void prepare(const scheduler::PrepareBundles& output);
  void changed(const scheduler::GroupView& view);
  void send(const base::NodeId& node, const proto::BundleHold& message);

  const Ports ports_;
  scheduler::GroupMachine machine_;
  std::set<base::PlacementGroupId> capturing_;
  std::map<base::PlacementGroupId, std::uint32_t> members_;  // Who are left, of groups that go with their members.
  std::set<base::NodeId> known_nodes_;
  std::map<base::PlacementGroupId, std::set<base::NodeId>> watchers_;
  std::map<base::PlacementGroupId, std::vector<rpc::Responder>> waiting_;
  std::map<std::uint64_t, rpc::Responder> creating_;
  std::uint64_t next_request_ = 1;
  os::MachineRunner<scheduler::GroupMachine> runner_;  // Ends first.
};

}  // namespace mobula::gcs
