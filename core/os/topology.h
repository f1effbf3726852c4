#pragma once

#include <optional>
#include <string>

#include "core/base/cpu_set.h"
#include "core/base/result.h"
#include "core/base/topology.h"

namespace mobula::os {

// Where a topology is read from.
struct TopologySource {
  enum class Kind {
    kMachine,    // This one; HWLOC_XMLFILE and HWLOC_SYNTHETIC are obeyed, as by every program that uses hwloc.
    kXml,        // A file that lstopo wrote.
    kSynthetic,  // hwloc's description: "pack:2 [numa(memory=64GB)] l3:4 core:8 pu:2".
    kFlat,       // The CPUs that this process may use, all alike; no hwloc.
  };
  Kind kind = Kind::kMachine;
  std::string text;  // Of kXml, the path; of kSynthetic, the description.

  // "auto", "off", "xml:PATH", "synthetic:DESCRIPTION".
  static base::Result<TopologySource> parse(const std::string& setting);
};

struct DiscoveredTopology {
  base::Topology topology;
  bool of_this_machine = false;  // Workers can be bound by it.
};

// Discovers once per node: hwloc takes some ten milliseconds and is opened only here, so that no worker pays for it.
// This machine's PUs are those that both the cgroup and the affinity of this process allow.  Where hwloc cannot be
// opened the machine is flat; kInvalid for a file or description that hwloc refuses.
base::Result<DiscoveredTopology> discover_topology(const TopologySource& source);

// The CPUs that the calling thread may run on.
base::CpuSet affinity();

}  // namespace mobula::os
