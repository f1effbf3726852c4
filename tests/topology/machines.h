#pragma once

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/os/topology.h"

namespace mobula::test {

inline std::string topology_tests() { return std::getenv("MOBULA_TOPOLOGY_TESTS"); }

// A machine of make_xml.sh, read back through hwloc, once per process.
inline const base::Topology& machine(const std::string& name) {
  static std::map<std::string, base::Topology> known;
  if (const auto it = known.find(name); it != known.end()) return it->second;
  const std::string file = testing::TempDir() + "mobula-" + name + "-" + std::to_string(::getpid()) + ".xml";
  const std::string command = "'" + topology_tests() + "/make_xml.sh' '" + name + "' '" + file + "'";
  if (std::system(command.c_str()) != 0) ADD_FAILURE() << "make_xml.sh " << name << ": is hwloc-nox installed?";
  auto found = os::discover_topology({os::TopologySource::Kind::kXml, file});
  std::remove(file.c_str());
  EXPECT_TRUE(found) << (found ? "" : found.error().what);
  if (!found) return known[name];
  EXPECT_FALSE(found->of_this_machine);
  return known[name] = std::move(found->topology);
}

}  // namespace mobula::test
