#pragma once

#include <string>
#include <string_view>

namespace mobula::slurm {

// The kinds of `srun --mpi=` that a site has, from what `srun --mpi=list` prints: "pmix, none, pmi2"; empty when the
// text is nothing of that.
std::string parse_mpi_list(std::string_view text);

// Asks srun; empty when there is none.
std::string mpi_list_of_site();

}  // namespace mobula::slurm
