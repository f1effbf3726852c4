#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mobula::os {

// What the control groups above this process allow; nullopt where none says anything.
struct CgroupLimits {
  std::optional<double> cpus;                       // The smallest quota.
  std::optional<std::uint64_t> memory_limit_bytes;  // The smallest limit.
  std::optional<std::uint64_t> memory_free_bytes;   // The smallest limit - usage + file pages that can be dropped.
};

// Reads versions 1 and 2, also side by side, from our group up to the mount point.  `root` stands before
// every path that is read ("" for this machine).
CgroupLimits read_cgroups(const std::string& root = {});

}  // namespace mobula::os
