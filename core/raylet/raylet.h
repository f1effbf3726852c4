#pragma once

#include "core/cluster/role_options.h"
#include "core/os/secret.h"

namespace mobula::raylet {

// The whole life of a node's raylet, on the calling thread (which starts the workers, so it must be the process's main
// one).  Ends on SIGTERM or SIGINT, when the GCS or the process that the node belongs to is gone, when the GCS fences
// the node, or when asked to; by then its workers are reaped, and the processes of the node were told why. Returns the
// exit code: 0 after an end in order.
int run_raylet(const cluster::RayletOptions& options, const os::Secret& secret);

}  // namespace mobula::raylet
