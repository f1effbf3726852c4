#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "slurm/rendezvous.h"

namespace mobula::slurm {

// Whether an MPI of this process comes after us and speaks to the same PMI or PMIx.
enum class Afterwards : std::uint8_t { kNothing, kMpi };

struct PmiRendezvousOptions {
  int fd = -1;
  std::uint32_t rank = 0;
  std::uint32_t size = 1;
  std::string host;                // Of this task, as the launcher calls it.
  std::vector<std::string> hosts;  // All of the start; empty: not known.
  Afterwards afterwards = Afterwards::kNothing;
};

// Through the launcher's PMI-1: rank 0 puts, every task waits in one barrier, the leaders get.  With kMpi the end of
// PMI is left to MPI if the program has initialised one by then.
//
// PMI does not say whom its barrier waits for.  So who has waited for half of the time publishes a name, and shortly
// before its own time is over rank 0 looks for everybody's: the error says which ranks and hosts have not come.  A
// start that succeeds in time pays nothing for that.
base::Result<std::unique_ptr<Rendezvous>> make_pmi_rendezvous(PmiRendezvousOptions options, base::Time deadline);

}  // namespace mobula::slurm
