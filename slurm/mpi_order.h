#pragma once

namespace mobula::slurm {

// Whether an MPI library of this process, if there is one, has been initialised (and perhaps finalized since).  Asks
// the library that is loaded; nothing here is linked with one.
bool mpi_was_initialized();
bool program_has_mpi();  // Whether one is loaded at all.

}  // namespace mobula::slurm
