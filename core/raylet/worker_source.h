#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/os/process.h"

namespace mobula::raylet {

// The program that the workers of one job run, and what they are told.
struct WorkerProgram {
  std::string exe;
  std::vector<std::string> argv;  // argv[0] included: the driver's.
  std::vector<std::string> env;   // Ready for the child but for what each start adds.
  std::string cwd;
  int secret_fd = -1;  // Not owned; outlives the source.
  std::string log;     // Gets what the program writes before it forks workers; empty: as our own output.
};

struct WorkerOrder {
  std::uint64_t token = 0;
  base::WorkerId worker;
  base::JobId job;
  int stdout_fd = -1;  // The worker's ends; the caller closes its copies when start() has returned.
  int stderr_fd = -1;
};

// Where the worker processes of one job come from.  Belongs to the raylet's loop thread, which must be the one that
// started the process.  Destroying it ends and reaps all of them, their process groups included, and tells nobody.
class WorkerSource {
 public:
  // Called from the loop, never from inside start() or stop().
  struct Events {
    std::function<void(std::uint64_t token, pid_t pid)> started;
    std::function<void(std::uint64_t token, const std::string& why)> failed;
    std::function<void(pid_t pid, os::ExitStatus status)> exited;  // Reaped; its process group is killed.
    // No more workers come from here; those it had are dead, each told by exited() or failed() before.
    std::function<void(const std::string& why)> ended;
  };

  virtual ~WorkerSource() = default;
  virtual void start(const WorkerOrder& order) = 0;
  // Kills the worker and its process group.  Harmless when it has ended.
  virtual void kill(pid_t pid) = 0;
};

}  // namespace mobula::raylet
