#pragma once

#include <string>
#include <vector>

#include "core/cli/commands.h"

// Clusters of a Slurm allocation.  `mobula start` in the shell of salloc, or in a batch script, makes one of all its
// nodes: a step in the background, which ends with the allocation.  That shell may be on a login node, where nothing of
// it runs, so what asks the cluster becomes a step of its first node.
namespace mobula::cli {

bool is_allocation_shell();  // In an allocation, and no task of a step.

int start_in_allocation(Format format);
int allocation_node();  // What that starts on each node.

// Becomes the same command on the allocation's first node when this is an allocation's shell, and no cluster of this
// user runs on this host; else returns.
void go_to_allocation(const std::vector<std::string>& arguments);

}  // namespace mobula::cli
