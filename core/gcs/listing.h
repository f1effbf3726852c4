#pragma once

#include <string>

#include "core/gcs/actor_table.h"
#include "core/gcs/group_table.h"
#include "core/gcs/job_table.h"
#include "core/gcs/node_table.h"

namespace mobula::gcs {

// What the cluster is, as JSON, for people and the CLI: "nodes", "actors", "jobs", "placement-groups", "topology",
// "waiting" (what waits for room and why), or "status" (all of it with sums). Empty for any other word.
std::string list_json(const std::string& what, const std::string& cluster, const NodeTable& nodes,
                      const ActorTable& actors, const GroupTable& groups, const JobTable& jobs);

}  // namespace mobula::gcs
