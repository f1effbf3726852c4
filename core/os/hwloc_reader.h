#pragma once

#include "core/base/result.h"
#include "core/os/topology.h"

namespace mobula::os {

// The only place that knows hwloc.  kNotFound when the library is not on this machine.
base::Result<DiscoveredTopology> read_hwloc(const TopologySource& source);

}  // namespace mobula::os
