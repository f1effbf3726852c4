#include "core/cluster/topology_json.h"

namespace mobula::cluster {
namespace {

using base::TopologyLevel;
using nlohmann::json;

json devices(const std::vector<base::Topology::Device>& list) {
  json out = json::array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto& d = list[i];
    out.push_back({{"index", i},
                   {"name", d.name},
                   {"bus", d.bus},
                   {"uuid", d.uuid},
                   {"model", d.model},
                   {"pci_switch", d.pci_switch},
                   {"pus", d.near.to_string()}});
  }
  return out;
}

}  // namespace

json topology_json(const base::Topology& topology) {
  json levels = json::object();
  for (const auto& [name, level] :
       {std::pair("package", TopologyLevel::kPackage), std::pair("numa", TopologyLevel::kNuma),
        std::pair("l3", TopologyLevel::kL3), std::pair("core", TopologyLevel::kCore)}) {
    json domains = json::array();
    for (std::uint16_t d = 0; d < topology.count(level); ++d) domains.push_back(topology.pus_of(level, d).to_string());
    levels[name] = std::move(domains);
  }
  json numas = json::array();
  for (const auto& numa : topology.numas) numas.push_back({{"os", numa.os}, {"memory", numa.memory}});
  return {{"pus", topology.all_pus().to_string()},
          {"levels", std::move(levels)},
          {"numas", std::move(numas)},
          {"gpus", devices(topology.gpus)},
          {"nics", devices(topology.nics)},
          {"numa_latency", topology.numa_latency},
          {"gpu_links_mb_per_s", topology.gpu_links}};
}

}  // namespace mobula::cluster
