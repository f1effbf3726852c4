#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/cli/doctor.h"

namespace mobula::cli {

// What should be alike on all nodes of a job, and what must not be.
struct NodeFacts {
  std::string host;
  std::int64_t clock_unix_ms = 0;
  std::vector<std::pair<std::string, std::string>> facts;  // "memlock" and "unlimited", ...; always in this order.
};

NodeFacts read_node_facts();  // Of this node, now.
// One line.
std::string print(const NodeFacts& facts);
base::Result<NodeFacts> parse_node_facts(const std::string& line);

// How the nodes differ: a finding for each fact, kOk where all agree, else naming who has what; the clocks; the nodes
// of `expected` that did not answer; a host that answered twice.
std::vector<Finding> compare_nodes(const std::vector<NodeFacts>& nodes, const std::vector<std::string>& expected);

}  // namespace mobula::cli
