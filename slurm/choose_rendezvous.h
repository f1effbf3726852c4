#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "slurm/rendezvous.h"

namespace mobula::slurm {

struct RendezvousOptions {
  std::string setting = "auto";                         // auto, or the one that is wanted.
  std::function<std::string()> listen;                  // Rank 0's numeric address; asked only where it is needed.
  std::function<std::vector<std::string>()> rank_zero;  // Addresses of its host, for the others.
  std::string slurm_conf;                               // Path; empty: the default.
};

// The first way that there is: PMIx, PMI, MUNGE.  An error says for each why it is not, and which `--mpi=` the site's
// srun has.  May complete the identity by what PMIx or PMI says.
base::Result<std::unique_ptr<Rendezvous>> choose_rendezvous(Identity& self, const RendezvousOptions& options);

}  // namespace mobula::slurm
