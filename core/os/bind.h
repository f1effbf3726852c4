#pragma once

#include <sys/types.h>

#include <optional>

#include "core/base/cpu_set.h"
#include "core/base/result.h"

namespace mobula::os {

// All threads of this process, and those that they start, run on these CPUs only.  Memory that they touch first comes
// from the NUMA nodes of these CPUs, as the kernel's default has it.  kInvalid for CPUs that the cgroup forbids.
base::Result<void> bind_process(const base::CpuSet& cpus);

// Where a process may run, as /proc/PID/status says; none when it has gone.
std::optional<base::CpuSet> allowed_cpus(pid_t pid);

}  // namespace mobula::os
