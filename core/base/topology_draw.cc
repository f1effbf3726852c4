#include <algorithm>
#include <set>

#include "core/base/topology.h"

namespace mobula::base {
namespace {

std::string gib(std::uint64_t bytes) {
  const std::uint64_t tenths =
      bytes / (std::uint64_t{1} << 30) * 10 + bytes % (std::uint64_t{1} << 30) * 10 / (1u << 30);
  return std::to_string(tenths / 10) + (tenths % 10 == 0 ? "" : "." + std::to_string(tenths % 10)) + " GiB";
}

std::string device_line(const Topology& topology, std::size_t index, const Topology::Device& device) {
  const bool gpu = device.kind == Topology::Device::Kind::kGpu;
  std::string out = (gpu ? "gpu " : "nic ") + std::to_string(index) + "  " + device.name;
  if (!device.bus.empty() && device.bus != device.name) out += "  " + device.bus;
  if (!device.model.empty()) out += "  " + device.model;
  if (!device.uuid.empty()) out += "  " + device.uuid;
  if (gpu && !topology.nics.empty()) {
    const auto nic = topology.nics_near_gpu(static_cast<std::uint16_t>(index)).front();
    if (device.pci_switch != 0 && topology.nics[nic].pci_switch == device.pci_switch) {
      out += "  beside " + topology.nics[nic].name;
    }
  }
  return out + "\n";
}

// Devices whose near PUs are exactly those of the domain: they are drawn under it.
std::string devices_of(const Topology& topology, const CpuSet& pus, const std::string& indent) {
  std::string out;
  for (std::size_t i = 0; i < topology.gpus.size(); ++i) {
    if (topology.gpus[i].near == pus) out += indent + device_line(topology, i, topology.gpus[i]);
  }
  for (std::size_t i = 0; i < topology.nics.size(); ++i) {
    if (topology.nics[i].near == pus) out += indent + device_line(topology, i, topology.nics[i]);
  }
  return out;
}

std::string matrix(const std::string& title, const std::vector<std::uint32_t>& values, std::size_t side) {
  if (values.empty() || side < 2) return {};
  std::size_t width = 1;
  for (const std::uint32_t v : values) width = std::max(width, std::to_string(v).size());
  std::string out = title + "\n";
  for (std::size_t row = 0; row < side; ++row) {
    out += " ";
    for (std::size_t column = 0; column < side; ++column) {
      const std::string text = std::to_string(values[row * side + column]);
      out += std::string(width - text.size() + 1, ' ') + text;
    }
    out += "\n";
  }
  return out;
}

std::string cores_line(const Topology& topology, const CpuSet& pus) {
  std::set<std::uint16_t> cores;
  for (const Topology::Pu& pu : topology.pus) {
    if (pus.contains(pu.os)) cores.insert(pu.core);
  }
  const std::string range = cores.size() == 1 ? std::to_string(*cores.begin())
                                              : std::to_string(*cores.begin()) + "-" + std::to_string(*cores.rbegin());
  return "cores " + range + "  pus " + pus.to_string();
}

}  // namespace

std::string Topology::draw() const {
  std::string out = std::to_string(count(TopologyLevel::kPackage)) + " packages, " + std::to_string(numas.size()) +
                    " NUMA nodes, " + std::to_string(count(TopologyLevel::kL3)) + " L3, " +
                    std::to_string(count(TopologyLevel::kCore)) + " cores, " + std::to_string(pus.size()) + " PUs, " +
                    std::to_string(gpus.size()) + " GPUs, " + std::to_string(nics.size()) + " NICs\n";
  CpuSet drawn_numas;
  for (std::uint16_t package = 0; package < count(TopologyLevel::kPackage); ++package) {
    const CpuSet in_package = pus_of(TopologyLevel::kPackage, package);
    out += "package " + std::to_string(package) + "\n";
    std::set<CpuSet> drawn;
    for (std::uint16_t numa = 0; numa < numas.size(); ++numa) {
      const CpuSet in_numa = pus_of(TopologyLevel::kNuma, numa) & in_package;
      if (in_numa.empty()) continue;
      drawn_numas.add(numa);
      out += "  numa " + std::to_string(numas[numa].os) + "  " + gib(numas[numa].memory) + "\n";
      for (std::uint16_t l3 = 0; l3 < count(TopologyLevel::kL3); ++l3) {
        const CpuSet in_l3 = pus_of(TopologyLevel::kL3, l3) & in_numa;
        if (!in_l3.empty()) out += "    l3 " + std::to_string(l3) + "  " + cores_line(*this, in_l3) + "\n";
      }
      out += devices_of(*this, in_numa, "    ");
      drawn.insert(in_numa);
    }
    if (!drawn.contains(in_package)) {
      out += devices_of(*this, in_package, "  ");
      drawn.insert(in_package);
    }
  }
  if (count(TopologyLevel::kPackage) != 1) out += devices_of(*this, all_pus(), "");
  for (std::uint16_t numa = 0; numa < numas.size(); ++numa) {
    if (drawn_numas.contains(numa)) continue;
    out += "numa " + std::to_string(numas[numa].os) + "  " + gib(numas[numa].memory) + "  without PUs\n";
  }
  out += matrix("NUMA latency", numa_latency, numas.size());
  out += matrix("GPU links, MB/s", gpu_links, gpus.size());
  return out;
}

}  // namespace mobula::base
