#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/base/result.h"

namespace mobula::cli {

// What `mobula start` leaves in the session directory of a long-lived cluster, beside its key: how to find it again.
struct SessionFile {
  std::string directory;
  std::string cluster;
  std::string gcs_address;      // Of the session's host.
  std::string gcs_tcp_address;  // For other hosts; empty: there is none.
  std::string raylet_address;
  std::map<std::string, pid_t> processes;         // By name; the GCS only at the head.
  std::map<std::string, std::string> identities;  // Of the same; os::process_identity().
  std::map<std::string, std::string> settings;    // Of the node, that its drivers must share.

  std::string key_path() const { return directory + "/key"; }
  bool is_alive() const;                        // Its raylet runs.
  bool runs(const std::string& process) const;  // Itself, not another that got its number later.
};

base::Result<void> write_session_file(const SessionFile& session);
std::optional<SessionFile> read_session_file(const std::string& directory);

std::vector<SessionFile> sessions_of_host();  // Of this user, dead ones too.
// One that ended without being stopped, by cluster name or directory; empty: the only one.
std::optional<SessionFile> find_ended_session(const std::string& which);
// By cluster name, directory or address; empty: the only one that runs.  kNotFound says what there is.
base::Result<SessionFile> find_session(const std::string& which);

}  // namespace mobula::cli
