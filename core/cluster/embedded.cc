#include "core/cluster/embedded.h"

#include <dirent.h>

#include <algorithm>
#include <utility>

#include "core/os/end_signals.h"
#include "core/os/host.h"

namespace mobula::cluster {
namespace {

using base::Result;

constexpr auto kStartTime = std::chrono::seconds(20);
constexpr auto kEndTime = std::chrono::seconds(5);
constexpr double kStoreShare = 0.3;
constexpr std::uint64_t kStoreBytesMin = 64u << 20;
// Reserved before a node is ready: small, since several start at once; more is taken in the background.
constexpr std::uint64_t kExtentBytes = 16u << 20;

std::int64_t count_gpus() {
  DIR* directory = ::opendir("/proc/driver/nvidia/gpus");
  if (directory == nullptr) return 0;
  std::int64_t count = 0;
  while (const dirent* entry = ::readdir(directory)) count += entry->d_name[0] != '.' ? 1 : 0;
  ::closedir(directory);
  return count;
}

}  // namespace

base::Resources host_resources() {
  base::Resources out;
  out.set("cpus", base::Amount::of(os::cpus_available()));
  out.set("gpus", base::Amount::of(static_cast<double>(count_gpus())));
  out.set("memory", {static_cast<std::int64_t>(os::memory_limit_bytes()) * base::Amount::kPerOne});
  return out;
}

std::uint64_t store_share(unsigned raylets) {
  const double share = kStoreShare * static_cast<double>(os::memory_limit_bytes()) / std::max(1u, raylets);
  return std::max(kStoreBytesMin, static_cast<std::uint64_t>(share));
}

Result<std::unique_ptr<EmbeddedCluster>> EmbeddedCluster::start(const EmbeddedOptions& options) {
  const os::HeldEndSignals held;  // Nobody else would remove the session yet.
  auto session = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove);
  if (!session) return session.error();
  auto cluster = std::unique_ptr<EmbeddedCluster>(new EmbeddedCluster(std::move(*session), os::Secret::generate()));
  const std::string& directory = cluster->session_.path();
  const std::string name = directory.substr(directory.rfind('/') + 1);
  auto launch = Launch::prepare({.session_directory = directory}, cluster->secret_);
  if (!launch) return launch.error();
  const auto failed = [&](const base::Error& error) {
    cluster->children_ = std::move(launch->children());
    return error;
  };
  GcsOptions gcs = options.gcs;
  gcs.cluster_name = name;
  gcs.remove_session = true;
  if (const auto started = launch->start_gcs(gcs); !started) return failed(started.error());
  const base::Resources resources = options.resources.empty() ? host_resources() : options.resources;
  for (unsigned i = 0; i < std::max(1u, options.nodes); ++i) {
    RayletOptions raylet;
    raylet.cluster_name = name;
    raylet.name = "n" + std::to_string(i);
    raylet.gcs_address = "unix:" + directory + "/gcs.sock";
    raylet.resources = resources;
    raylet.labels = options.labels;
    raylet.settings = options.settings;
    raylet.store_bytes = options.store_bytes != 0 ? options.store_bytes : store_share(options.nodes);
    raylet.store_extent_bytes = std::min(kExtentBytes, raylet.store_bytes);
    raylet.workers_max = options.workers_max;
    raylet.prestart = options.prestart;
    raylet.idle_timeout_ms = options.idle_timeout_ms;
    raylet.remove_session = true;
    if (const auto started = launch->start_raylet(std::move(raylet)); !started) return failed(started.error());
  }
  auto ready = launch->wait(kStartTime, held.fd());
  cluster->children_ = std::move(launch->children());
  if (!ready) return ready.error();
  cluster->gcs_ = ready->gcs_address;
  for (unsigned i = 0; i < std::max(1u, options.nodes); ++i)
    cluster->raylets_.push_back(ready->raylets["n" + std::to_string(i)]);
  return cluster;
}

EmbeddedCluster::~EmbeddedCluster() { end(); }

void EmbeddedCluster::end() {
  end_children(children_, kEndTime);
  os::remove_tree(session_.path());
}

std::vector<pid_t> EmbeddedCluster::children() const {
  std::vector<pid_t> out;
  for (const auto& child : children_) out.push_back(child.pid);
  return out;
}

}  // namespace mobula::cluster
