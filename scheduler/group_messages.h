#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/ids.h"
#include "core/base/resources.h"
#include "core/base/topology.h"
#include "scheduler/actor_messages.h"
#include "scheduler/bundle_messages.h"
#include "scheduler/cluster_view.h"
#include "scheduler/placement.h"

namespace mobula::scheduler {

// ---- What the GCS tells the machine.

struct CreateGroup {          // Idempotent by group id, as RegisterActor.
  std::uint64_t request = 0;  // Echoed.
  base::PlacementGroupId group;
  base::JobId job;
  base::WorkerId owner;
  base::NodeId owner_node;
  std::string name;  // Empty: none.  Unique in (ns) among those that are not over.
  std::string ns;
  ActorLifetime lifetime = ActorLifetime::kOwned;
  GroupWish wish;
};
struct RemoveGroup {
  base::PlacementGroupId group;
};
struct GroupOwnerGone {
  base::WorkerId owner;
};
struct GroupJobEnded {
  base::JobId job;
};
struct NodeTopology {  // Before the first NodeView of the node's life.
  base::NodeId node;
  base::Topology topology;
};
using GroupInput = std::variant<CreateGroup, RemoveGroup, GroupOwnerGone, GroupJobEnded, NodeTopology, NodeView,
                                BundlesPrepared, BundlesRefused, BundlesCommitted, BundlesReleased>;

// ---- What the machine asks of the GCS.

struct GroupRegistered {
  std::uint64_t request = 0;
  base::PlacementGroupId group;
};
struct GroupRefused {
  std::uint64_t request = 0;
  base::PlacementGroupId group;
  std::string why;
};
enum class GroupState : std::uint8_t {
  kPending = 1,   // Waits for room, or for the nodes to answer.
  kCreated,       // Every bundle is there.
  kRescheduling,  // Was created; some bundles were lost with their node and wait for a place.
  kRemoved,
  kInfeasible,  // No node, or no set of nodes, could ever hold it.  Over, as kRemoved.
};
// The public record of a group, whole at each change.
struct GroupView {
  base::PlacementGroupId group;
  std::uint64_t version = 0;
  GroupState state = GroupState::kPending;
  base::JobId job;
  base::WorkerId owner;
  std::string name, ns;
  ActorLifetime lifetime = ActorLifetime::kOwned;
  GroupWish wish;
  std::vector<PlacedBundle> placed;  // Those that may be used, in rank order.
  std::string why;                   // Of kPending, kRescheduling: what it waits for.  Of kRemoved, kInfeasible.
  std::optional<base::NodeId> nearest;

  bool is_over() const { return state == GroupState::kRemoved || state == GroupState::kInfeasible; }
};
struct GroupChanged {
  GroupView view;
};
using GroupOutput =
    std::variant<GroupRegistered, GroupRefused, PrepareBundles, CommitBundles, ReleaseBundles, GroupChanged>;

}  // namespace mobula::scheduler
