#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/base/cpu_set.h"
#include "core/base/ids.h"
#include "core/base/resources.h"
#include "scheduler/node_room.h"

namespace mobula::scheduler {

// The GCS (GroupMachine) and a raylet (LeaseMachine).  A hold is what one node reserves in one attempt; all of its
// bundles or none.  `node` is the raylet's node in both directions.  Requests are repeated until answered.

struct HeldBundle {
  std::uint32_t index = 0;
  base::Resources shape;
  Pieces pieces;
};
struct PrepareBundles {
  base::NodeId node;
  std::uint64_t request = 0;  // RequestWindow of (GCS, node), its own: not that of the actors' leases.
  std::uint64_t floor = 0;
  base::LeaseId hold;
  base::PlacementGroupId group;
  std::vector<HeldBundle> bundles;
};
struct BundlesPrepared {
  base::NodeId node;
  base::LeaseId hold;
};
struct BundlesRefused {  // Not all of them are free now; here is what is.
  base::NodeId node;
  base::LeaseId hold;
  std::string why;
  base::Resources available;
  base::CpuSet free_pus;
  std::vector<base::Amount> gpu_room;
};
struct CommitBundles {  // All nodes have prepared: tasks and actors may come.
  base::NodeId node;
  base::LeaseId hold;
};
struct BundlesCommitted {
  base::NodeId node;
  base::LeaseId hold;
};
struct ReleaseBundles {  // May overtake its PrepareBundles, hence `request`.  Kills who uses the bundles.
  base::NodeId node;
  std::uint64_t request = 0;
  std::uint64_t floor = 0;
  base::LeaseId hold;
};
struct BundlesReleased {  // The users may still be on their way out.
  base::NodeId node;
  base::LeaseId hold;
};

}  // namespace mobula::scheduler
