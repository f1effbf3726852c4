#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mobula::slurm {

// What ended an MPI program before its time.
struct MpiFailure {
  std::optional<std::uint32_t> rank;  // The one that a launcher blames.
  std::string host;
  int exit_code = 0;     // Of that rank, else the launcher's; 128 more than the number of a signal.
  int signal = 0;        // 0: none that is known.
  bool aborted = false;  // By MPI_Abort.
};

// From what srun, Open MPI's mpirun or Hydra's mpiexec wrote to its standard error, among the words of the ranks, and
// the code with which it ended.  Launchers kill the others when one fails, and may report those first: an MPI_Abort,
// then a rank with that code, come before whatever else is told.
MpiFailure read_mpi_failure(std::string_view text, int launcher_code);

}  // namespace mobula::slurm
