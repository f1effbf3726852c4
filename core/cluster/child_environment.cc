#include "core/cluster/child_environment.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "core/cluster/environment.h"

namespace mobula::cluster {
namespace {

constexpr std::array<std::string_view, 8> kDroppedPrefixes{"PMI_",  "PMIX_", "OMPI_", "PRTE_",
                                                           "ORTE_", "MPIR_", "HYDI_", "HYDRA_"};
// What Slurm sets for one task; the job's own variables stay.
constexpr std::array<std::string_view, 10> kDroppedNames{"SLURM_PROCID",
                                                         "SLURM_LOCALID",
                                                         "SLURM_NODEID",
                                                         "SLURM_GTIDS",
                                                         "SLURM_TASK_PID",
                                                         "SLURM_SRUN_COMM_PORT",
                                                         "SLURM_SRUN_COMM_HOST",
                                                         "SLURM_LAUNCH_NODE_IPADDR",
                                                         "SLURM_PMIX_MAPPING_SERV",
                                                         "MPI_LOCALRANKID"};
constexpr std::array<const char*, 9> kInternalNames{kEnvRole,        kEnvSession,  kEnvSecretFd,
                                                    kEnvRoleOptions, kEnvZygoteFd, kEnvRaylet,
                                                    kEnvWorkerId,    kEnvJobId,    kEnvStartToken};

bool dropped(std::string_view variable) {
  const std::string_view name = variable.substr(0, variable.find('='));
  const auto is_prefix = [&](std::string_view prefix) { return name.substr(0, prefix.size()) == prefix; };
  return std::any_of(kDroppedPrefixes.begin(), kDroppedPrefixes.end(), is_prefix) ||
         std::find(kDroppedNames.begin(), kDroppedNames.end(), name) != kDroppedNames.end() ||
         std::find(kInternalNames.begin(), kInternalNames.end(), name) != kInternalNames.end();
}

}  // namespace

std::vector<std::string> child_environment(const std::vector<std::string>& environment) {
  std::vector<std::string> out;
  std::copy_if(environment.begin(), environment.end(), std::back_inserter(out),
               [](const std::string& variable) { return !dropped(variable); });
  return out;
}

}  // namespace mobula::cluster
