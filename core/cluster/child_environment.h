#pragma once

#include <string>
#include <vector>

namespace mobula::cluster {

// The environment of a driver, made fit for processes that the launcher did not start: without the variables of PMI,
// PMIX, Open MPI and MPICH, Slurm's per-task ones, and what a process of the cluster tells only its own children.
std::vector<std::string> child_environment(const std::vector<std::string>& environment);

}  // namespace mobula::cluster
