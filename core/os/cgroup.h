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

// What the kernel's OOM killer has done to our control group, as far as it says.
struct OomKills {
  std::uint64_t kills = 0;                       // Processes of this group; of the machine where no group counts them.
  std::optional<std::uint64_t> limit_hits;       // How often the group's memory ran into its limit.
  std::optional<std::uint64_t> limit_bytes;      // The smallest limit above us.
  std::optional<std::uint64_t> most_used_bytes;  // Of the group, ever.
  std::string source;                            // The file that counts them.
};
// Nullopt where nothing counts them.  The kernel counts before it kills, so whoever has heard of the death reads it.
std::optional<OomKills> read_oom_kills(const std::string& root = {});

// The control group above us that has the least room for further processes and threads; nullopt where none limits them.
struct PidsLimit {
  std::uint64_t limit = 0;
  std::uint64_t used = 0;
  std::string source;  // The file with the limit.
};
std::optional<PidsLimit> read_pids_limit(const std::string& root = {});

// Why the kernel refused a process or a thread: the error's name, and for EAGAIN the limits that are in force.
std::string describe_no_process(int error_number, const std::string& root = {});

}  // namespace mobula::os
