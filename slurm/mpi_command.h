#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "slurm/environment.h"

namespace mobula::slurm {

// What starts the ranks of an MPI program.
enum class MpiLauncher : std::uint8_t {
  kSrun,     // A step that overlaps the one we run in.
  kOpenMpi,  // mpirun of Open MPI 4.
  kHydra,    // mpiexec of MPICH and Intel MPI.
};

struct MpiStart {
  MpiLauncher kind = MpiLauncher::kOpenMpi;
  std::string launcher;                         // A name for PATH, or a path.
  std::vector<std::string> launcher_arguments;  // After ours, so that they win.
  std::string pmi;                              // Of srun --mpi; empty: the site's default.
  std::string rsh;                              // What serves as ssh; empty: the launcher's choice.
  std::string program;
  std::vector<std::string> arguments;
  std::vector<std::string> hosts;  // Of each rank.
  bool in_allocation = false;      // The hosts are Slurm's names for nodes of the job that `environment` names.
  bool is_local = false;           // All of them are the host that the launcher runs on.
};

struct MpiCommand {
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value"
  std::string host_file;         // To be read at kMpiHostFile; empty: none.
};
inline constexpr int kMpiHostFileFd = 4;
inline constexpr const char* kMpiHostFile = "/proc/self/fd/4";

// `environment` without what would be taken for options by srun, or for another start by mpirun: the allocation is told
// as the ranks' hosts alone.  Ranks are started in the order of `hosts` (Hydra: host by host), unbound, since a CPU
// may be shared with workers, and may be more than Slurm has counted tasks.
MpiCommand mpi_command(const MpiStart& start, const Environment& environment);

// "2,1(x2)": how many ranks each host has, hosts as they first appear, in Slurm's short form.
std::string tasks_per_node(const std::vector<std::string>& hosts);

// By what `LAUNCHER --version` prints; kHydra for whatever is not Open MPI.
MpiLauncher launcher_of_version(std::string_view text);

// The --mpi= that a program wants, of those that a site has ("pmix, none, pmi2"), by the MPI library that it is linked
// with: pmi2 for MPICH's, else pmix; empty when the site has neither.
std::string pmi_for(std::string_view program_bytes, std::string_view site);

}  // namespace mobula::slurm
