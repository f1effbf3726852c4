#include "core/os/hwloc_reader.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <hwloc.h>

namespace mobula::os {
namespace {

using base::Code;
using base::CpuSet;
using base::Error;
using base::Result;
using base::Topology;

// The functions of hwloc that are used here.  Opened when needed and closed again.
struct Library {
  void* handle = nullptr;
  decltype(&hwloc_topology_init) init = nullptr;
  decltype(&hwloc_topology_destroy) destroy = nullptr;
  decltype(&hwloc_topology_load) load = nullptr;
  decltype(&hwloc_topology_set_xml) set_xml = nullptr;
  decltype(&hwloc_topology_set_synthetic) set_synthetic = nullptr;
  decltype(&hwloc_topology_set_io_types_filter) set_io_types_filter = nullptr;
  decltype(&hwloc_topology_set_components) set_components = nullptr;
  decltype(&hwloc_topology_is_thissystem) is_thissystem = nullptr;
  decltype(&hwloc_topology_get_allowed_cpuset) allowed_cpus = nullptr;
  decltype(&hwloc_get_obj_by_depth) obj_by_depth = nullptr;
  decltype(&hwloc_bitmap_next) bitmap_next = nullptr;
  decltype(&hwloc_distances_get_by_name) distances = nullptr;
  decltype(&hwloc_distances_release) release_distances = nullptr;

  ~Library() {
    if (handle != nullptr) ::dlclose(handle);
  }
  template <class F>
  bool find(F& function, const char* name) {
    function = reinterpret_cast<F>(::dlsym(handle, name));
    return function != nullptr;
  }
  bool open() {
    handle = ::dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
    return handle != nullptr && find(init, "hwloc_topology_init") && find(destroy, "hwloc_topology_destroy") &&
           find(load, "hwloc_topology_load") && find(set_xml, "hwloc_topology_set_xml") &&
           find(set_synthetic, "hwloc_topology_set_synthetic") &&
           find(set_io_types_filter, "hwloc_topology_set_io_types_filter") &&
           find(set_components, "hwloc_topology_set_components") &&
           find(is_thissystem, "hwloc_topology_is_thissystem") &&
           find(allowed_cpus, "hwloc_topology_get_allowed_cpuset") && find(obj_by_depth, "hwloc_get_obj_by_depth") &&
           find(bitmap_next, "hwloc_bitmap_next") && find(distances, "hwloc_distances_get_by_name") &&
           find(release_distances, "hwloc_distances_release");
  }
};

std::string info(hwloc_obj_t object, const char* name) {
  for (unsigned i = 0; i < object->infos_count; ++i) {
    if (std::strcmp(object->infos[i].name, name) == 0) return object->infos[i].value;
  }
  return {};
}

std::string bus_of(hwloc_obj_t pci) {
  std::array<char, 32> text{};
  const auto& p = pci->attr->pcidev;
  std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.%01x", p.domain, p.bus, p.dev, p.func);
  return text.data();
}

// NVIDIA's driver tells the ids without a library of its own.
std::string uuid_from_driver(const std::string& bus) {
  std::ifstream file("/proc/driver/nvidia/gpus/" + bus + "/information");
  for (std::string line; std::getline(file, line);) {
    const std::size_t at = line.find("GPU-");
    if (line.compare(0, 9, "GPU UUID:") == 0 && at != std::string::npos) return line.substr(at);
  }
  return {};
}

// hwloc opens all its plugins at once, with the libraries that they need, and only then hears which are not wanted: a
// third of its time.  A choice of the user's stays.  For processes with one thread, as all are that discover.
class WithoutPlugins {
 public:
  WithoutPlugins() : ours_(std::getenv(kVariable) == nullptr) {
    if (ours_) ::setenv(kVariable, "hwloc_gl,hwloc_opencl,hwloc_cuda,hwloc_levelzero,hwloc_xml_libxml", 1);
  }
  ~WithoutPlugins() {
    if (ours_) ::unsetenv(kVariable);
  }
  WithoutPlugins(const WithoutPlugins&) = delete;
  WithoutPlugins& operator=(const WithoutPlugins&) = delete;

 private:
  static constexpr const char* kVariable = "HWLOC_PLUGINS_BLACKLIST";
  const bool ours_;
};

class Reader {
 public:
  Reader(const Library& hwloc, hwloc_topology_t topology) : hwloc_(hwloc), topology_(topology) {}

  Topology read(const CpuSet& usable) {
    usable_ = usable;
    hwloc_obj_t root = hwloc_.obj_by_depth(topology_, 0, 0);
    walk(root, {});
    add_numas();
    finish_devices();
    out_.numa_latency = matrix("NUMALatency", numa_index_, out_.numas.size(), 1);
    for (const char* name : {"NVLinkBandwidth", "XGMIBandwidth"}) {
      if (out_.gpu_links.empty()) out_.gpu_links = matrix(name, gpu_index_, out_.gpus.size(), 1);
    }
    return std::move(out_);
  }

  CpuSet set_of(hwloc_const_bitmap_t bitmap) const {
    CpuSet out;
    for (int n = hwloc_.bitmap_next(bitmap, -1); n >= 0 && n < static_cast<int>(CpuSet::kMax);
         n = hwloc_.bitmap_next(bitmap, n)) {
      out.add(static_cast<unsigned>(n));
    }
    return out;
  }

 private:
  struct Above {
    hwloc_obj_t package = nullptr, numa = nullptr, l3 = nullptr, core = nullptr;
    hwloc_obj_t local = nullptr;  // The innermost object that has CPUs.
    hwloc_obj_t bridge = nullptr, pci = nullptr;
  };
  struct Found {  // A device, and the PCI switch that it hangs on.
    Topology::Device device;
    hwloc_obj_t bridge = nullptr;
    std::vector<hwloc_obj_t> objects;  // For matrices, which name one of these.
    bool gpu = false, nic = false;
    int rank = 0;  // Of its name: the better one wins.
  };

  static hwloc_obj_t first_numa(hwloc_obj_t object) {
    for (hwloc_obj_t m = object->memory_first_child; m != nullptr; m = m->next_sibling) {
      if (m->type == HWLOC_OBJ_NUMANODE) return m;
      if (hwloc_obj_t below = first_numa(m)) return below;
    }
    return nullptr;
  }

  void walk(hwloc_obj_t object, Above above) {
    if (object->cpuset != nullptr) above.local = object;
    if (hwloc_obj_t numa = first_numa(object)) above.numa = numa;
    if (object->type == HWLOC_OBJ_PACKAGE) above.package = object;
    if (object->type == HWLOC_OBJ_L3CACHE) above.l3 = object;
    if (object->type == HWLOC_OBJ_CORE) above.core = object;
    if (object->type == HWLOC_OBJ_PU) add_pu(object, above);
    if (object->type == HWLOC_OBJ_BRIDGE && object->attr->bridge.upstream_type == HWLOC_OBJ_BRIDGE_PCI &&
        above.bridge == nullptr) {
      above.bridge = object;  // The root port: what lies below it shares a switch.
    }
    if (object->type == HWLOC_OBJ_PCI_DEVICE) {
      above.pci = object;
      add_pci(object, above);
    }
    if (object->type == HWLOC_OBJ_OS_DEVICE) add_os_device(object, above);
    for (hwloc_obj_t child = object->first_child; child != nullptr; child = child->next_sibling) walk(child, above);
    for (hwloc_obj_t child = object->io_first_child; child != nullptr; child = child->next_sibling) {
      walk(child, above);
    }
  }

  static std::uint16_t number(std::map<hwloc_obj_t, std::uint16_t>& numbers, hwloc_obj_t object) {
    return numbers.try_emplace(object, static_cast<std::uint16_t>(numbers.size())).first->second;
  }

  void add_pu(hwloc_obj_t pu, const Above& above) {
    if (!usable_.contains(pu->os_index)) return;
    Topology::Pu out;
    out.os = static_cast<std::uint16_t>(pu->os_index);
    out.core = number(core_index_, above.core != nullptr ? above.core : pu);
    out.numa = number(numa_index_, above.numa);
    out.l3 = number(l3_index_, above.l3 != nullptr ? above.l3 : above.numa);
    out.package = number(package_index_, above.package);
    out_.pus.push_back(out);
  }

  void add_numas() {
    for (unsigned i = 0;; ++i) {
      hwloc_obj_t numa = hwloc_.obj_by_depth(topology_, HWLOC_TYPE_DEPTH_NUMANODE, i);
      if (numa == nullptr) break;
      // Nodes whose PUs are all forbidden are no part of us; memory without PUs is, after the others.
      if (set_of(numa->cpuset).empty() || set_of(numa->cpuset).intersects(usable_)) number(numa_index_, numa);
    }
    out_.numas.resize(numa_index_.size());
    for (const auto& [numa, index] : numa_index_) {
      out_.numas[index] = {static_cast<std::uint16_t>(numa->os_index), numa->attr->numanode.local_memory};
    }
  }

  Found& found(const Above& above, hwloc_obj_t self) {
    hwloc_obj_t key = above.pci != nullptr ? above.pci : self;
    const auto [it, added] = devices_.try_emplace(key);
    if (added) {
      it->second.bridge = above.bridge;
      it->second.device.near = set_of(above.local->cpuset) & usable_;
      if (above.pci != nullptr) it->second.device.bus = bus_of(above.pci);
      it->second.device.name = it->second.device.bus;
      order_.push_back(key);
    }
    it->second.objects.push_back(self);
    return it->second;
  }

  void add_pci(hwloc_obj_t pci, const Above& above) {
    const auto& p = pci->attr->pcidev;
    constexpr unsigned kNvidia = 0x10de;
    const bool gpu = p.class_id == 0x0302 || p.class_id == 0x0380 || (p.class_id == 0x0300 && p.vendor_id == kNvidia);
    const bool nic = p.class_id >> 8 == 0x02;
    if (!gpu && !nic) return;
    Found& f = found(above, pci);
    f.gpu = gpu;
    f.nic = nic;
    if (f.device.model.empty()) f.device.model = info(pci, "PCIDevice");
  }

  void add_os_device(hwloc_obj_t object, const Above& above) {
    const auto type = object->attr->osdev.type;
    const std::string subtype = object->subtype == nullptr ? "" : object->subtype;
    const bool computes = subtype == "CUDA" || subtype == "NVML" || subtype == "RSMI" || subtype == "LevelZero";
    const bool network = type == HWLOC_OBJ_OSDEV_OPENFABRICS || (type == HWLOC_OBJ_OSDEV_NETWORK && above.pci);
    if (!computes && !network) return;
    Found& f = found(above, object);
    f.gpu = f.gpu || computes;
    f.nic = f.nic || network;
    const int rank = subtype == "CUDA" || type == HWLOC_OBJ_OSDEV_OPENFABRICS ? 2 : 1;
    if (rank > f.rank && object->name != nullptr) {
      f.rank = rank;
      f.device.name = object->name;
    }
    if (const std::string model = info(object, "GPUModel"); !model.empty()) f.device.model = model;
    if (const std::string uuid = info(object, "NVIDIAUUID"); !uuid.empty()) f.device.uuid = uuid;
  }

  void finish_devices() {
    std::map<hwloc_obj_t, unsigned> sharers;
    for (const auto& [key, f] : devices_) {
      if (f.bridge != nullptr) ++sharers[f.bridge];
    }
    std::stable_sort(order_.begin(), order_.end(), [this](hwloc_obj_t a, hwloc_obj_t b) {
      return devices_.at(a).device.bus < devices_.at(b).device.bus;
    });
    std::map<hwloc_obj_t, std::uint16_t> switches;
    for (hwloc_obj_t key : order_) {
      Found& f = devices_.at(key);
      if (f.bridge != nullptr && sharers[f.bridge] > 1) {
        f.device.pci_switch = static_cast<std::uint16_t>(number(switches, f.bridge) + 1);
      }
      f.device.kind = f.gpu ? Topology::Device::Kind::kGpu : Topology::Device::Kind::kNic;
      if (f.gpu && f.device.uuid.empty() && hwloc_.is_thissystem(topology_) == 1) {
        f.device.uuid = uuid_from_driver(f.device.bus);
      }
      auto& list = f.gpu ? out_.gpus : out_.nics;
      if (f.gpu) {
        for (hwloc_obj_t object : f.objects) gpu_index_[object] = static_cast<std::uint16_t>(list.size());
      }
      list.push_back(std::move(f.device));
    }
  }

  std::vector<std::uint32_t> matrix(const char* name, const std::map<hwloc_obj_t, std::uint16_t>& index,
                                    std::size_t side, std::uint64_t unit) const {
    unsigned count = 1;
    hwloc_distances_s* found = nullptr;
    if (side < 2 || hwloc_.distances(topology_, name, &count, &found, 0) != 0 || count == 0) return {};
    std::vector<std::uint32_t> out(side * side, 0);
    for (unsigned row = 0; row < found->nbobjs; ++row) {
      for (unsigned column = 0; column < found->nbobjs; ++column) {
        const auto from = index.find(found->objs[row]);
        const auto to = index.find(found->objs[column]);
        if (from == index.end() || to == index.end()) continue;
        const std::uint64_t value = found->values[std::size_t{row} * found->nbobjs + column] / unit;
        out[std::size_t{from->second} * side + to->second] =
            static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
      }
    }
    hwloc_.release_distances(topology_, found);
    return out;
  }

  const Library& hwloc_;
  const hwloc_topology_t topology_;
  CpuSet usable_;
  Topology out_;
  std::map<hwloc_obj_t, std::uint16_t> core_index_, l3_index_, numa_index_, package_index_, gpu_index_;
  std::map<hwloc_obj_t, Found> devices_;
  std::vector<hwloc_obj_t> order_;
};

Error refused(const std::string& what) { return {Code::kInvalid, "hwloc refuses " + what}; }

}  // namespace

Result<DiscoveredTopology> read_hwloc(const TopologySource& source) {
  Library hwloc;
  if (!hwloc.open()) return Error{Code::kNotFound, "libhwloc.so.15 cannot be opened"};
  hwloc_topology_t topology = nullptr;
  const WithoutPlugins without_plugins;
  if (hwloc.init(&topology) != 0) return refused("to begin");
  const std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, std::function<void(hwloc_topology_t)>> owner(
      topology, [&hwloc](hwloc_topology_t t) { hwloc.destroy(t); });
  hwloc.set_io_types_filter(topology, HWLOC_TYPE_FILTER_KEEP_IMPORTANT);
  // Each of these starts a driver's runtime, which takes seconds; the bus tells what is needed.
  for (const char* plugin : {"opencl", "gl", "cuda", "levelzero"}) {
    hwloc.set_components(topology, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, plugin);
  }
  if (source.kind == TopologySource::Kind::kXml && hwloc.set_xml(topology, source.text.c_str()) != 0) {
    return refused("the file " + source.text);
  }
  if (source.kind == TopologySource::Kind::kSynthetic && hwloc.set_synthetic(topology, source.text.c_str()) != 0) {
    return refused("the description \"" + source.text + "\"");
  }
  if (hwloc.load(topology) != 0) return refused(source.text.empty() ? "to look at this machine" : source.text);
  DiscoveredTopology out;
  out.of_this_machine = hwloc.is_thissystem(topology) == 1;
  Reader reader(hwloc, topology);
  CpuSet usable = reader.set_of(hwloc.allowed_cpus(topology));
  if (out.of_this_machine) usable &= affinity();
  out.topology = reader.read(usable);
  if (out.topology.empty() || !out.topology.is_valid()) return refused("to name a usable CPU");
  return out;
}

}  // namespace mobula::os
