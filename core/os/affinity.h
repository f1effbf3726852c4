#pragma once

#include <cstdint>
#include <vector>

#include "core/base/result.h"

namespace mobula::os {

// The CPUs that the calling thread may run on, ascending.
std::vector<std::uint32_t> cpus_allowed();
// Its children inherit them.  kDenied where the cgroup holds none of them.
base::Result<void> allow_cpus(const std::vector<std::uint32_t>& cpus);

}  // namespace mobula::os
