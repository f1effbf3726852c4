#pragma once

#include <cstdint>

#include "core/base/machine.h"

// The real machines of many nodes in one process, over a network that loses nothing: what the size of a cluster costs.
namespace mobula::sim {

struct ScaleOptions {
  std::uint32_t nodes = 100;
  std::uint32_t cpus_per_node = 8;
  base::Duration link = std::chrono::microseconds(50);   // One way.
  base::Duration handle = std::chrono::microseconds(5);  // A process takes so long for a message, one after another.
};

struct ScaleResult {
  base::Duration took{0};          // Virtual: from the first demand or request to the last answer.
  double cpu_us_each = 0;          // Real: of the machine that decides, for each lease, actor or group.
  double messages_per_node = 0;    // Sent and got by a node that serves, but for what one process says to itself.
  double news_per_node_per_s = 0;  // Views of other nodes that it is sent.
  double bytes_each = 0;           // Memory of the deciding machine for each node (leases) or actor.
  std::uint64_t done = 0;
};

// One owner asks its raylet for every cpu of the cluster, whose workers are up, and is granted them.  Raylets without
// owners keep no view of the others here, so that 10,000 fit into one process; what they would be sent is counted.
ScaleResult fill_with_leases(const ScaleOptions& options);
// An owner registers so many actors without cpus; each node answers requests and runs constructors at once.
ScaleResult create_actors(const ScaleOptions& options, std::uint32_t actors);
// Placement groups of `bundles` bundles each, all of them alive at the end.
ScaleResult create_groups(const ScaleOptions& options, std::uint32_t groups, std::uint32_t bundles);

// CPU time of one step of a raylet's machine: demands, acknowledgements and returns of single leases.
double lease_step_ns(int leases);

}  // namespace mobula::sim
