#pragma once

#include <memory>

#include "slurm/rendezvous.h"

namespace mobula::slurm {

// Whether an MPI of this process comes after us and speaks to the same PMI or PMIx.
enum class Afterwards : std::uint8_t { kNothing, kMpi };

// Through the launcher's PMI-1: rank 0 puts, every task waits in one barrier, the leaders get.  With kMpi the end of
// PMI is left to MPI if the program has initialised one by then.
base::Result<std::unique_ptr<Rendezvous>> make_pmi_rendezvous(int fd, Afterwards afterwards, base::Time deadline);

}  // namespace mobula::slurm
