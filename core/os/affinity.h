#pragma once

#include <cstdint>
#include <vector>

#include "core/base/result.h"

namespace mobula::os {

// The CPUs that the calling thread may run on, ascending.
std::vector<std::uint32_t> cpus_allowed();
// Its children inherit them.  kDenied where the cgroup holds none of them.
base::Result<void> allow_cpus(const std::vector<std::uint32_t>& cpus);
// Moves the calling thread to another of the CPUs that it may run on, which are afterwards what they were; the kernel
// chooses.  False where there is no other.  Some microseconds; what others do to this thread's set meanwhile is lost.
bool leave_current_cpu();

}  // namespace mobula::os
