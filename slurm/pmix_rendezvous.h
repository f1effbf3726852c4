#pragma once

#include <memory>

#include "slurm/pmi_rendezvous.h"
#include "slurm/pmix_client.h"
#include "slurm/rendezvous.h"

namespace mobula::slurm {

// Through the launcher's PMIx: rank 0 puts, the leaders get.  Every task says hello and farewell to its server, since
// mpirun takes one that does not, where others have, for crashed.
std::unique_ptr<Rendezvous> make_pmix_rendezvous(std::unique_ptr<PmixClient> client, Afterwards afterwards);

}  // namespace mobula::slurm
