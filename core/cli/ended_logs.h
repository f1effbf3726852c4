#pragma once

#include "core/cli/commands.h"
#include "core/cli/session_file.h"

namespace mobula::cli {

// What the processes of a cluster on this host wrote that has ended without being stopped; exit code as logs().
int print_logs_of_ended(const SessionFile& session, const LogsOptions& options);

}  // namespace mobula::cli
