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
  if (const std::string type = topology_.accelerator_type(); !type.empty()) {
    labels_.try_emplace(scheduler::kAcceleratorLabel, type);
  }
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

// Raylets of one host that offer the same CPUs would each give them away: then nobody is bound.
bool Node::may_bind() const {
  const std::string bind = setting(options_, "bind");
  return topology_is_ours_ && bind != "off" && (bind == "on" || beside_us_.empty());
}

void Node::bind(const base::WorkerId& worker, const WorkerBinding& binding, std::function<void()> done) {
  proto::Binding message;
  if (may_bind()) {
    message.set_pus((binding.pus.empty() ? topology_.all_pus() : binding.pus).to_string());
  }
  message.set_sees_gpus(!binding.gpus.empty());
  std::string gpus;
  for (const std::uint16_t gpu : binding.gpus) {
    const bool has_uuid = gpu < topology_.gpus.size() && !topology_.gpus[gpu].uuid.empty();
    gpus += (gpus.empty() ? "" : ",") + (has_uuid ? topology_.gpus[gpu].uuid : std::to_string(gpu));
  }
  message.set_gpus(gpus);
  std::optional<std::uint16_t> nic = binding.nic;
  if (!nic && !binding.gpus.empty() && binding.gpus.front() < topology_.gpus.size()) {
    const auto near = topology_.nics_near_gpu(binding.gpus.front());
    if (!near.empty()) nic = near.front();
  }
  if (nic && *nic < topology_.nics.size()) message.set_nic(topology_.nics[*nic].name);
  if (!binding.captured.is_nil()) message.set_captured_group(binding.captured.bytes());
  rpc::Rpc* rpc = clients_.rpc(worker);
  if (rpc == nullptr) return done();
  rpc->ask<proto::Empty>(proto::BIND, message, std::chrono::seconds(10),
                         [done = std::move(done)](base::Result<proto::Empty>) { done(); });
}

}  // namespace mobula::raylet
