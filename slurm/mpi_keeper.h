#pragma once

#include <string>

namespace mobula::slurm {

// A process between a worker and the launcher of an MPI program, so that no rank outlives its owner: a worker may be
// killed at any moment, and a launcher that is killed leaves its ranks.  Leads a process group of its own, is the
// reaper of orphans below it, and
//
//   starts the launcher, whose command line it was given as its own
//   ends it when kMpiOwnerFd is closed: SIGTERM, which launchers pass on to all their hosts, then SIGKILL to all below
//   ends what is left here once the launcher has ended, and ends as it did (128 more than the number of a signal)
inline constexpr int kMpiOwnerFd = 3;

// For a process that is nothing else.  `path`: of the launcher.
int keep_mpi(const std::string& path);

}  // namespace mobula::slurm
