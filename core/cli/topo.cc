// topo: what a node is made of.
#include <cstdio>

#include <nlohmann/json.hpp>

#include "core/cli/commands.h"
#include "core/cli/session_file.h"
#include "core/cli/tool_link.h"
#include "core/cluster/topology_json.h"
#include "core/os/host.h"
#include "core/os/topology.h"

namespace mobula::cli {
namespace {

using nlohmann::json;

void print_labels(const json& labels) {
  for (const auto& [key, value] : labels.items()) {
    std::printf("%s = %s\n", key.c_str(), value.get<std::string>().c_str());
  }
}

bool is_meant(const json& node, const std::string& name) {
  const auto id = node["id"].get<std::string>();
  return node["name"] == name || node["host"] == name || (!name.empty() && id.compare(0, name.size(), name) == 0);
}

// This machine, without a cluster.
int topo_of_machine(Format format) {
  const auto found = os::discover_topology({});
  if (!found) return complain(found.error().what);
  if (format == Format::kJson) {
    const json out = {{"host", os::host_name()}, {"topology", cluster::topology_json(found->topology)}};
    return std::printf("%s\n", out.dump().c_str()), 0;
  }
  return std::printf("%s", found->topology.draw().c_str()), 0;
}

}  // namespace

int topo(const TopoOptions& options) {
  if (options.node.empty() && options.cluster.empty()) return topo_of_machine(options.format);
  const auto session = find_session(options.cluster);
  if (!session) return complain(session.error().what);
  auto link = ToolLink::open(*session);
  if (!link) return complain(link.error().what);
  const auto text = (*link)->list("topology");
  if (!text) return complain(text.error().what);
  const json nodes = json::parse(*text, nullptr, false);
  json chosen = json::array();
  for (const auto& node : nodes) {
    if (options.node.empty() || is_meant(node, options.node)) chosen.push_back(node);
  }
  if (chosen.empty()) return complain("no node that lives is called \"" + options.node + "\"; see mobula list nodes");
  if (options.format == Format::kJson) return std::printf("%s\n", chosen.dump().c_str()), 0;
  for (const auto& node : chosen) {
    std::printf("node %s on %s: %s", node["name"].get<std::string>().c_str(), node["host"].get<std::string>().c_str(),
                node["drawing"].get<std::string>().c_str());
    print_labels(node["labels"]);
  }
  return 0;
}

}  // namespace mobula::cli
