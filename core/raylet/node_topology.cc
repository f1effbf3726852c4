#include <fstream>
#include <sstream>

#include "core/base/topology_file.h"
#include "core/os/host.h"
#include "core/os/topology.h"
#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

std::string setting(const cluster::RayletOptions& options, const char* key) {
  const auto it = options.settings.find(key);
  return it == options.settings.end() ? std::string() : it->second;
}

}  // namespace

// What this node is made of, and where in the network it is.
base::Result<void> Node::open_topology() {
  const auto source = os::TopologySource::parse(setting(options_, "topology"));
  if (!source) return source.error();
  auto found = os::discover_topology(*source);
  if (!found) return found.error();
  topology_ = std::move(found->topology);
  topology_is_ours_ = found->of_this_machine;

  labels_ = options_.labels;
  const std::string path = setting(options_, "topology_file");
  if (path.empty()) return {};
  std::ifstream file(path);
  if (!file) return base::Error{base::Code::kInvalid, "topology_file = \"" + path + "\" cannot be read"};
  std::stringstream text;
  text << file.rdbuf();
  const auto labels = base::topology_file_labels(text.str(), {options_.name, os::host_name()});
  if (!labels) return base::Error{base::Code::kInvalid, path + ": " + labels.error().what};
  labels_.insert(labels->begin(), labels->end());  // Those that were given to this node win.
  return {};
}

}  // namespace mobula::raylet
