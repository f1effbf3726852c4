#pragma once

#include "core/cluster/embedded.h"

namespace mobula::cluster {

// Ctrl-C in a process that owns a cluster.  The first one asks the cluster to end: workers are killed, their last lines
// arrive, and this process is told CLUSTER_DOWN.  The second one ends this process at once.
//
// One at a time in a process.  Does nothing where the program (or whoever started it) has set SIGINT otherwise;
// restores what it found when destroyed.
class InterruptGuard {
 public:
  explicit InterruptGuard(EmbeddedCluster& cluster);  // REQUIRES: the cluster outlives this.
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  bool installed_ = false;
};

// For whoever is told that the cluster is down: when that is so because of Ctrl-C, waits for the cluster's processes,
// removes the session and ends this process by SIGINT, as its parent expects; else returns.
void end_if_interrupted();

}  // namespace mobula::cluster
