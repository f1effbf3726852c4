#include "slurm/mpi_order.h"

#include <dlfcn.h>

namespace mobula::slurm {
namespace {

// Good at any time, also before MPI_Init and after MPI_Finalize; the same in every ABI of MPI.
using Initialized = int (*)(int*);
Initialized find() { return reinterpret_cast<Initialized>(::dlsym(RTLD_DEFAULT, "MPI_Initialized")); }

}  // namespace

bool mpi_was_initialized() {
  const Initialized initialized = find();
  int flag = 0;
  return initialized != nullptr && initialized(&flag) == 0 && flag != 0;
}

bool program_has_mpi() { return find() != nullptr; }

}  // namespace mobula::slurm
