#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mobula::cli {

// What `mobula sbatch` writes a job script for; empty: Slurm's or the site's default.
struct BatchOptions {
  unsigned nodes = 1;
  std::string time;  // As sbatch takes it: 30, 2:00:00, 1-12:00:00.
  std::string cpus_per_task;
  std::string gpus_per_node;
  std::string memory;
  std::string partition;
  std::string account;
  std::string mpi;           // srun --mpi=
  unsigned warning_s = 120;  // So long before the end the job saves its state; 0: not.
  bool requeue = true;
  std::vector<std::string> command;
};

// A script for sbatch: one task per node, which starts that node's part of the cluster.
std::string batch_script(const BatchOptions& options);
// A word of a command line, as a shell takes it.
std::string shell_word(const std::string& text);

}  // namespace mobula::cli
