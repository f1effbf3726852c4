#pragma once

#include <cstdint>

#include "core/base/result.h"

namespace mobula::cluster {

// Whether this process's limits, which its children inherit, let a cluster's processes start; else which does not, and
// what to do.
base::Result<void> check_limits(std::uint64_t store_bytes);

}  // namespace mobula::cluster
