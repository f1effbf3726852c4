#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>

#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// The directory of one cluster on one host: 0700, ours, not a symbolic link.  Holds sockets, logs, the
// key file of a long-lived cluster.  Short, because a Unix socket's path has 107 bytes.
class SessionDirectory {
 public:
  enum class Lifetime { kRemove, kKeep };

  // Makes a fresh one under MOBULA_TMPDIR, else $XDG_RUNTIME_DIR/mobula, else /tmp/mobula-UID.
  // kDenied when a parent belongs to somebody else or others may write to it.  `label` (a job, a node) becomes part of
  // its name, so that an operator sees whose it is.
  static base::Result<SessionDirectory> create(Lifetime lifetime, const std::string& label = {});
  // Opens and checks one that exists.
  static base::Result<SessionDirectory> open(const std::string& path);

  SessionDirectory(SessionDirectory&& other) noexcept;
  SessionDirectory& operator=(SessionDirectory&&) = delete;
  ~SessionDirectory();  // Removes the tree when made with kRemove.

  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  SessionDirectory(std::string path, Lifetime lifetime);
  bool hold();

  std::string path_;
  Lifetime lifetime_;
  pid_t maker_;
  Fd life_;  // Of kRemove: locked as long as a process that has made or opened it lives.
};

std::string sessions_root();  // The parent of all sessions of this user on this host.
// Makes it if it is not there, and sweeps it.
base::Result<void> prepare_sessions_root();
// Removes what clusters have left whose processes were all killed at once; how many directories and sockets that were.
// kDenied when `root` is not this user's own, kNotFound when there is none.
base::Result<std::size_t> sweep_sessions(const std::string& root);
inline constexpr const char* kSessionDescription = "cluster.json";
inline constexpr const char* kSessionLogs = "logs";
bool is_directory(const std::string& path);
// Empties a session that nobody else will remove: what its processes wrote and its description stay, for `mobula logs`.
void keep_logs_only(const std::string& session);
void remove_tree(const std::string& path);  // Never follows symbolic links.

}  // namespace mobula::os
