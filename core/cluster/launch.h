#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/cluster/role_options.h"
#include "core/os/fd.h"
#include "core/os/secret.h"

namespace mobula::cluster {

// Starts the processes of a cluster from this very binary and waits until they say that they are ready.  What it has
// started when an error occurs is for the caller to end: children().
class Launch {
 public:
  enum class Owner {
    kUs,      // They end with this process, however it ends, and have its arguments, which the program may look at.
    kNobody,  // They outlive it, in a session of their own.
  };
  struct Options {
    std::string session_directory;
    Owner owner = Owner::kUs;
    std::string exe = "/proc/self/exe";
    bool watch_nodes = false;  // The GCS tells which nodes join: joined().
  };
  static base::Result<Launch> prepare(const Options& options, const os::Secret& secret);

  // Each starts one process at once; wait() says what became of all.  The order matters: raylets started after the GCS
  // wait for it.  Descriptors in the options are filled in.
  base::Result<void> start_gcs(GcsOptions options);
  base::Result<void> start_raylet(RayletOptions options);

  struct Ready {
    std::string gcs_address;
    std::string gcs_tcp_address;
    std::map<std::string, std::string> raylets;  // Channel address by name.
  };
  // For all that were started so far; more may be started after it.  kUnavailable with the reason and the last lines of
  // its log when one of them ended or refused, kDeadline; kCancelled once `stop_fd`, if any, can be read.
  base::Result<Ready> wait(base::Duration patience, int stop_fd = -1);
  const os::Fd& joined() const { return joined_read_; }  // Lines "NAME<tab>TASKS".

  struct Child {
    pid_t pid = 0;
    std::string name;
    os::Fd pidfd;
  };
  std::vector<Child>& children() { return children_; }

 private:
  Launch() = default;
  base::Result<void> spawn(const std::string& role, const std::string& name, const std::string& options,
                           std::vector<int> fds);
  base::Result<void> take_line(const std::string& line, Ready& ready);
  base::Error ended(const Child& child) const;
  std::string log_of(const std::string& name) const;

  Options options_;
  os::Fd secret_;
  os::Fd life_;  // A pidfd of ourselves.
  os::Fd spin_page_;
  os::Fd ready_read_, ready_write_;
  os::Fd listening_read_, listening_write_;
  os::Fd joined_read_, joined_write_;
  Ready ready_;
  os::Fd null_;
  std::vector<Child> children_;
  std::size_t ready_count_ = 0;
};

// Ends and reaps the children: asks, again and again, then kills whatever is left together with its process group.
void end_children(std::vector<Launch::Child>& children, base::Duration patience);

}  // namespace mobula::cluster
