#pragma once

#include <optional>

#include "core/base/result.h"
#include "core/os/secret.h"

namespace mobula::cluster {

// Keeps an MPI program for a worker (slurm/mpi_keeper.h); MOBULA_ROLE_OPTIONS is the launcher's path.
inline constexpr const char* kRoleMpi = "mpi";

// When this process was started as a GCS, a raylet or a keeper (MOBULA_ROLE), is that for its whole life and returns
// its exit code; nullopt for every other process.  The first thing of main(): before threads.
std::optional<int> run_role_from_environment();

// The secret that the process which started us has passed on (MOBULA_SECRET_FD).  Once: the descriptor is closed and
// the variable removed.
base::Result<os::Secret> inherited_secret();

}  // namespace mobula::cluster
