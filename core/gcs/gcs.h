#pragma once

#include "core/cluster/role_options.h"
#include "core/os/secret.h"

namespace mobula::gcs {

// The whole life of a cluster's GCS on the calling thread.  Ends on SIGTERM or SIGINT, when the process that owns the
// cluster is gone, or by STOP_CLUSTER; the raylets notice by the close of their channels and end too.
// Returns the exit code.
int run_gcs(const cluster::GcsOptions& options, const os::Secret& secret);

}  // namespace mobula::gcs
