#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "slurm/pmi_rendezvous.h"
#include "slurm/rendezvous.h"

namespace mobula::slurm {

struct RendezvousOptions {
  std::string setting = "auto";  // auto, or the one that is wanted.
  Afterwards afterwards = Afterwards::kNothing;
  bool is_guest = false;       // Takes part where all must, and else leaves it to the leader of its node.
  bool some_may_miss = false;  // Nodes; then a barrier of all is the last thing to try.
  base::Time deadline{};

  std::function<std::string()> listen;                  // Rank 0's numeric address; asked only where it is needed.
  std::function<std::vector<std::string>()> rank_zero;  // Addresses of its host, for the others.
  std::string slurm_conf;                               // Path; empty: the default.
  std::string directory;                                // For `file`; empty: none was named.
  std::string home;
};

// The first way that there is:
//
//   pmix, pmi   where the launcher offers them
//   file        in a directory that somebody has named for it
//   munge       else
//   file        in ~/.mobula where that lies on a shared file system
//
// Null where nothing has to be found: all tasks are on one node and the environment tells all of it; and for guests. An
// error says for each why it is not, and which `--mpi=` the site's srun has.  Completes the identity by what PMIx or
// PMI says.
base::Result<std::unique_ptr<Rendezvous>> choose_rendezvous(Identity& self, const RendezvousOptions& options);

}  // namespace mobula::slurm
