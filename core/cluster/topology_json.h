#pragma once

#include <nlohmann/json.hpp>

#include "core/base/topology.h"

namespace mobula::cluster {

// As `mobula topo --json` prints it: packages, numas, pus, gpus, nics, and the two matrices.
nlohmann::json topology_json(const base::Topology& topology);

}  // namespace mobula::cluster
