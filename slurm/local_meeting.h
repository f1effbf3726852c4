#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/machine.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::slurm {

// What a task has from its launcher: lent to the raylet of its node.
struct Share {
  std::uint32_t local_rank = 0;
  std::vector<std::uint32_t> cpus;  // It may run on, ascending.
  std::string gpus;                 // CUDA_VISIBLE_DEVICES; empty: not set.
};

// The tasks of one start on one node.  The leader listens on a socket in the user's directory of sessions, whose name
// comes from the start and the node; the others bring their shares and, if they stay, get an answer later.  Both ends
// look at the other's user id.
class LocalMeeting {
 public:
  // The leader.  `directory` exists and is this user's alone.
  static base::Result<std::unique_ptr<LocalMeeting>> open(const std::string& directory, const std::string& name);
  ~LocalMeeting();  // Closes, and removes the socket.
  LocalMeeting(const LocalMeeting&) = delete;
  LocalMeeting& operator=(const LocalMeeting&) = delete;

  const std::string& path() const { return path_; }

  // Waits for the shares of local ranks 1 to `local_size` - 1; kDeadline names those that are missing.
  base::Result<std::vector<Share>> gather(std::uint32_t local_size, base::Time deadline);
  // The same bytes to everybody who came.
  void answer(const std::string& bytes);

  // The others.  Waits for the leader and leaves the share with it; the answer comes framed (framed.h).
  static base::Result<os::Fd> attend(const std::string& directory, const std::string& name, const Share& share,
                                     base::Time deadline);

 private:
  LocalMeeting(std::string path, os::Fd listener) : path_(std::move(path)), listener_(std::move(listener)) {}

  const std::string path_;
  const os::Fd listener_;
  std::vector<os::Fd> guests_;
};

std::string encode(const Share& share);
base::Result<Share> decode_share(const std::string& bytes);

}  // namespace mobula::slurm
