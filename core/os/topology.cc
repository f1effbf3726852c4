#include "core/os/topology.h"

#include <sched.h>

#include <cstdlib>
#include <memory>

#include "core/os/hwloc_reader.h"
#include "core/os/log.h"

namespace mobula::os {

using base::Code;
using base::Error;
using base::Result;

base::CpuSet affinity() {
  base::CpuSet out;
  for (std::size_t cpus = 1024; cpus <= base::CpuSet::kMax; cpus *= 2) {
    const std::unique_ptr<cpu_set_t, void (*)(cpu_set_t*)> set(CPU_ALLOC(cpus), [](cpu_set_t* s) { CPU_FREE(s); });
    const std::size_t bytes = CPU_ALLOC_SIZE(cpus);
    CPU_ZERO_S(bytes, set.get());
    if (::sched_getaffinity(0, bytes, set.get()) != 0) continue;
    for (unsigned n = 0; n < cpus; ++n) {
      if (CPU_ISSET_S(n, bytes, set.get())) out.add(n);
    }
    return out;
  }
  out.add(0);
  return out;
}

Result<TopologySource> TopologySource::parse(const std::string& setting) {
  if (setting.empty() || setting == "auto") return TopologySource{};
  if (setting == "off") return TopologySource{Kind::kFlat, {}};
  for (const auto& [prefix, kind] : {std::pair("xml:", Kind::kXml), std::pair("synthetic:", Kind::kSynthetic)}) {
    const std::string start = prefix;
    if (setting.size() > start.size() && setting.compare(0, start.size(), start) == 0) {
      return TopologySource{kind, setting.substr(start.size())};
    }
  }
  return Error{Code::kInvalid,
               "topology = \"" + setting + "\": it is auto, off, xml:PATH or synthetic:DESCRIPTION of hwloc"};
}

Result<DiscoveredTopology> discover_topology(const TopologySource& source) {
  if (source.kind == TopologySource::Kind::kFlat) return DiscoveredTopology{base::Topology::flat(affinity()), true};
  auto read = read_hwloc(source);
  if (!read && read.error().code == Code::kNotFound) {
    if (source.kind != TopologySource::Kind::kMachine) return read.error();
    log(LogLevel::kWarn, "{}; all CPUs of this node count as equally near", read.error().what);
    return DiscoveredTopology{base::Topology::flat(affinity()), true};
  }
  return read;
}

}  // namespace mobula::os
