#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/resources.h"
#include "core/base/result.h"
#include "core/cluster/launch.h"
#include "core/os/secret.h"
#include "core/os/session.h"

namespace mobula::cluster {

struct EmbeddedOptions {
  unsigned nodes = 1;
  base::Resources resources;  // Of each node.
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> settings;
  std::uint64_t store_bytes = 0;  // Of each node; 0: its share of what the host may use.
  std::uint32_t workers_max = 1024;
  std::uint32_t prestart = 0;
  std::int64_t idle_timeout_ms = 2000;
  GcsOptions gcs;  // What does not follow from being embedded.
};

// A cluster of this host that belongs to this process: a GCS and raylets, started from /proc/self/exe, which end with
// it however it ends.  Destroying it ends and reaps them and removes the session directory.
class EmbeddedCluster {
 public:
  // Returns when every process is ready.
  static base::Result<std::unique_ptr<EmbeddedCluster>> start(const EmbeddedOptions& options);
  ~EmbeddedCluster();
  EmbeddedCluster(const EmbeddedCluster&) = delete;
  EmbeddedCluster& operator=(const EmbeddedCluster&) = delete;

  const std::string& session_directory() const { return session_.path(); }
  const std::string& raylet_address() const { return raylets_.front(); }  // Of the first node.
  const std::vector<std::string>& raylet_addresses() const { return raylets_; }
  const std::string& gcs_address() const { return gcs_; }
  const os::Secret& secret() const { return secret_; }
  std::vector<pid_t> children() const;  // The GCS first.

  void end();  // Ends and reaps its processes and removes the session directory, now.  What destroying it does.

 private:
  EmbeddedCluster(os::SessionDirectory session, os::Secret secret)
      : session_(std::move(session)), secret_(std::move(secret)) {}

  os::SessionDirectory session_;
  os::Secret secret_;
  std::vector<std::string> raylets_;
  std::string gcs_;
  std::vector<Launch::Child> children_;
};

// What the nodes of this host offer when nobody says otherwise: its CPUs, memory and GPUs.
base::Resources host_resources();
// A raylet's share of the host's memory, in bytes, when `raylets` divide it.
std::uint64_t store_share(unsigned raylets);

}  // namespace mobula::cluster
