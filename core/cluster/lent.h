#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "slurm/identity.h"
#include "slurm/local_meeting.h"

// What the tasks of one node have from their launcher, and how one raylet gets all of it.
namespace mobula::cluster {

slurm::Share share_of_this_task(std::uint32_t local_rank);
std::vector<std::uint32_t> all_cpus(const std::vector<slurm::Share>& shares);  // Ascending, each once.
// The GPUs of all, each once, as CUDA_VISIBLE_DEVICES takes them; nullopt when a task has no limit.
std::optional<std::string> all_gpus(const std::vector<slurm::Share>& shares);
std::size_t count_gpus(const std::string& visible);  // Named by CUDA_VISIBLE_DEVICES.

// CPUs that Slurm gave to this step on this node, which it need not enforce; 0: Slurm does not say.
unsigned cpus_by_slurm(const slurm::Identity& self);

// While it lives, children of this thread inherit these CPUs and GPUs.  This process's own, which its user's code (and
// an MPI's binding) counts on, come back at the end.
class LentToChildren {
 public:
  LentToChildren(const std::vector<std::uint32_t>& cpus, const std::optional<std::string>& gpus);
  ~LentToChildren();
  LentToChildren(const LentToChildren&) = delete;
  LentToChildren& operator=(const LentToChildren&) = delete;

 private:
  const std::vector<std::uint32_t> cpus_before_;
  std::optional<std::string> gpus_before_;
  const bool has_gpus_;
};

}  // namespace mobula::cluster
