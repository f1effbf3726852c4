#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/cpu_set.h"
#include "core/base/result.h"

namespace mobula::base {

// Where things may be near to each other.  Ordered: each level up to kNode lies inside the next one.  Levels above
// the node are labels of nodes, and need not be nested in each other.
enum class TopologyLevel : std::uint8_t {
  kCore = 1,
  kL3,
  kNuma,
  kPackage,
  kNode,
  kNvlink,  // The nodes that share an NVLink switch.
  kSwitch,  // The leaf switch.
  kSpine,
  kRack,
  kLabel,  // Nodes with an equal value of a label of the user's.
};

// The label that says which domain of that level a node belongs to: "mobula.topology/switch".  REQUIRES: kNvlink to
// kRack.
std::string topology_label(TopologyLevel level);

// A level by name ("core", "numa", "switch", ...), or the name of a label.
struct LevelName {
  TopologyLevel level = TopologyLevel::kNode;
  std::string label;  // Above the node: the label that names the domains.

  static LevelName parse(std::string_view text);
  bool above_node() const { return level > TopologyLevel::kNode; }
  std::string to_string() const;
  auto operator<=>(const LevelName&) const = default;
};

// What a node is made of: the part of it that its raylet may use.  A value, discovered once by core/os/topology.h.
//
// All indices are logical: they count from zero in the order of the tree, so that neighbours have neighbouring
// indices.  Only Pu::os and Numa::os are the kernel's numbers.
struct Topology {
  struct Pu {
    std::uint16_t os = 0;
    std::uint16_t core = 0;
    std::uint16_t l3 = 0;
    std::uint16_t numa = 0;
    std::uint16_t package = 0;
    auto operator<=>(const Pu&) const = default;
  };
  struct Numa {
    std::uint16_t os = 0;
    std::uint64_t memory = 0;  // Bytes.
    auto operator<=>(const Numa&) const = default;
  };
  struct Device {
    enum class Kind : std::uint8_t { kGpu = 1, kNic };
    Kind kind = Kind::kGpu;
    std::string name;              // "cuda0", "mlx5_0", "eth0"; a GPU that no driver names: its bus id.
    std::string bus;               // "0000:1b:00.0"; empty when it is not on PCI.
    std::string uuid;              // Of a GPU, when its driver tells: "GPU-5c1d...".
    std::string model;             // For people and for labels.
    std::uint16_t pci_switch = 0;  // Devices with an equal one share a PCI switch; 0: none that others share.
    CpuSet near;                   // The usable PUs that are closest to it.
    auto operator<=>(const Device&) const = default;
  };

  std::vector<Pu> pus;                      // In the order of the tree.
  std::vector<Numa> numas;                  // By Pu::numa; nodes without usable PUs come last.
  std::vector<Device> gpus;                 // In the order of their bus ids: as the driver counts them.
  std::vector<Device> nics;                 // By bus id, too.
  std::vector<std::uint32_t> numa_latency;  // numas x numas, row by row, 10 is local; empty when unknown.
  std::vector<std::uint32_t> gpu_links;     // gpus x gpus, NVLink or XGMI bandwidth in MB/s; empty when unknown.

  // `count` PUs in one package without anything else: what is known where hwloc is not.
  static Topology flat(const CpuSet& pus);

  bool empty() const { return pus.empty(); }
  CpuSet all_pus() const;
  // How many cores, caches, ... there are.  REQUIRES: level <= kNode.
  std::uint16_t count(TopologyLevel level) const;
  static std::uint16_t domain_of(const Pu& pu, TopologyLevel level);
  CpuSet pus_of(TopologyLevel level, std::uint16_t domain) const;
  CpuSet numas_of(const CpuSet& pus) const;  // The kernel's numbers of the NUMA nodes that these PUs are local to.
  // The NICs from nearest to farthest of a GPU: the same PCI switch, then the same PUs.
  std::vector<std::uint16_t> nics_near_gpu(std::uint16_t gpu) const;
  std::vector<std::uint16_t> nics_near(const CpuSet& pus) const;

  // The kind of its GPUs in one word, of the first when they differ: "H100" of "NVIDIA H100 80GB HBM3".  Empty: no GPU
  // tells.
  std::string accelerator_type() const;

  bool is_valid() const;
  auto operator<=>(const Topology&) const = default;

  // Compact, and safe to decode from anybody.
  std::string encode() const;
  static Result<Topology> decode(ConstBytes bytes);

  // A drawing of some lines for people: packages, NUMA nodes, caches, cores, devices.
  std::string draw() const;
};

}  // namespace mobula::base
