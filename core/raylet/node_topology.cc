#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "core/base/topology_file.h"
#include "core/os/host.h"
#include "core/os/log.h"
#include "core/os/topology.h"
#include "core/raylet/node.h"
#include "slurm/node_place.h"

namespace mobula::raylet {
namespace {

std::string setting(const cluster::RayletOptions& options, const char* key) {
  const auto it = options.settings.find(key);
  return it == options.settings.end() ? std::string() : it->second;
}

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Where no file says it.  An address that cannot be read costs the labels, not the node.
std::map<std::string, std::string> place_of_slurm() {
  auto place = slurm::node_place(variable("SLURM_TOPOLOGY_ADDR"), variable("SLURM_TOPOLOGY_ADDR_PATTERN"));
  if (place) return std::move(*place);
  os::log(os::LogLevel::kWarn, "this node's place in the network is not known: {}", place.error().what);
  return {};
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
  if (path.empty()) {
    const auto place = place_of_slurm();
    labels_.insert(place.begin(), place.end());
    return {};
  }
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
