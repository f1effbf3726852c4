#pragma once

#include <cstdint>
#include <string>

#include "core/base/ids.h"
#include "core/base/result.h"

namespace mobula::worker {

// What a fresh worker knows before it has spoken to anybody.
struct WorkerStart {
  base::WorkerId worker;
  base::JobId job;
  std::uint64_t token = 0;     // Repeated in Register::start_token.
  std::string raylet_address;  // Channel address.
  std::string session_directory;
};

// The zygote: forks a worker for each request of its raylet, reaps it, and reports how it ended.  Each
// worker leads a process group, which is killed when the worker has ended.  When the raylet's end of the socket closes,
// the zygote kills what it forked and exits.
//
// Returns only in a forked worker, whose standard input is /dev/null and whose output goes to its raylet, line by line.
// REQUIRES: this process has one thread; the environment is the raylet's (MOBULA_ZYGOTE_FD).  Where other threads
// exist, it says so to the raylet, which then starts workers by exec, and exits.
base::Result<WorkerStart> run_zygote();

// The same for a worker that was started by exec.
base::Result<WorkerStart> worker_from_environment();

}  // namespace mobula::worker
