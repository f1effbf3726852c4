#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/base/result.h"
#include "slurm/environment.h"

namespace mobula::slurm {

// Who started this process as one of many.
enum class Launcher : std::uint8_t {
  kNone,     // Nobody: a shell, a batch script, salloc's shell, a child of a task.
  kSrun,     // A task of a Slurm step, with whatever --mpi.
  kOpenMpi,  // mpirun of Open MPI 4 and 5.
  kPrte,     // prterun, or another launcher that speaks PMIx only.
  kHydra,    // mpiexec of MPICH and Intel MPI.
  kPals,     // mpiexec and aprun of HPE Cray.
  kPmi,      // Another launcher that sets PMI_RANK and PMI_SIZE.
};
const char* name_of(Launcher launcher);

// What a launcher says that a process is.
struct Identity {
  Launcher launcher = Launcher::kNone;
  std::uint32_t rank = 0;
  std::uint32_t size = 1;  // 0: the launcher tells it through PMIx only.
  std::uint32_t local_rank = 0;
  std::uint32_t local_size = 1;  // 0: as `size`.

  std::optional<std::uint32_t> node_index;  // Among the nodes of the step, from 0.
  std::uint32_t node_count = 0;             // 0: not known.
  std::string node_name;                    // As the launcher calls it; empty: the host's name is all there is.
  std::string hosts;                        // Slurm's host list, the node of rank 0 first; empty: not known.

  std::string job;   // Slurm's job id, or whatever names this start of the launcher; empty: not known.
  std::string step;  // Slurm's step id.
  std::uint32_t restart_count = 0;
  bool is_het = false;       // A step over several parts of a heterogeneous job.
  std::string mpi_type;      // srun's --mpi, as the tasks see it; empty: none.
  std::string cluster;       // Slurm's name of the machine.
  std::string cpus_on_node;  // Slurm's CPUs of this step on this node.

  std::optional<int> pmi_fd;  // Speaks PMI-1's lines.
  bool has_pmix = false;      // A PMIx server's address is there.

  bool is_launched() const { return launcher != Launcher::kNone; }
  bool is_alone() const { return size == 1; }
  bool is_one_node() const { return size != 0 && local_size == size; }
  bool is_node_leader() const { return local_rank == 0; }
  // Names this start among all starts on its hosts: job, step and restart.
  std::string start_name() const;
};

// From the environment alone.  A launcher's own rank variables come before Slurm's, which inside an allocation are
// those of mpirun's or Hydra's proxy.  kInvalid when they contradict each other.
base::Result<Identity> identify(const Environment& environment);

// "2(x3),1": how many tasks the node with this index has; nullopt when the text is none of that or too short.
std::optional<std::uint32_t> tasks_of_node(std::string_view tasks_per_node, std::uint32_t node_index);

}  // namespace mobula::slurm
