#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "core/base/resources.h"
#include "core/base/result.h"

namespace mobula::cluster {

// "cpus=2,gpus=0.5,license=3": exact amounts by name.  kInvalid names the part that is none.
base::Result<base::Resources> parse_resources(std::string_view text);
std::string print_resources(const base::Resources& resources);
// "zone=a,disk=ssd".
base::Result<std::map<std::string, std::string>> parse_labels(std::string_view text);

// What the GCS of a cluster is started with.
struct GcsOptions {
  std::string session_directory;
  std::string cluster_name;
  std::string tcp_interface;     // Numeric address to listen on besides the session's socket; empty: none.
  int life_fd = -1;              // A pidfd of the process that owns the cluster; -1: nobody owns it.
  int ready_fd = -1;             // Gets one line when the GCS listens, or why it does not; then it is closed.
  int listening_fd = -1;         // Closed when the GCS listens: raylets that wait to connect see the end of the pipe.
  int joined_fd = -1;            // Gets "NAME<tab>TASKS" for each node that joins; see kTasksLabel.
  bool remove_session = false;   // At the end, should the owner be gone: the directory was its.
  std::int64_t end_unix_ms = 0;  // When the time of the cluster is over; 0: asked of Slurm inside a job.
  std::int64_t end_refresh_ms = 60'000;  // How often Slurm is asked.
};

// A node's label: for how many of a launcher's tasks its raylet stands.
inline constexpr const char* kTasksLabel = "launcher_tasks";

// What a raylet is started with.
struct RayletOptions {
  std::string session_directory;
  std::string cluster_name;
  std::string name;  // Of the node; unique in the session.
  std::string gcs_address;
  std::string tcp_interface;  // As for the GCS.
  base::Resources resources;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> settings;  // For the node's processes.
  std::uint64_t store_bytes = 0;
  std::uint64_t store_extent_bytes = 0;  // 0: the store's default.
  std::uint32_t workers_max = 1024;
  std::uint32_t prestart = 0;  // Idle workers kept; 0: as many as cpus.
  std::int64_t idle_timeout_ms = 2000;
  int life_fd = -1;
  int ready_fd = -1;
  int gcs_listening_fd = -1;  // See GcsOptions::listening_fd; -1: the GCS listens already.
  int spin_page_fd = -1;      // Of the host; -1: made by this raylet.
  bool remove_session = false;
};

// Through the environment of the child: one "key=value" a line.
std::string print(const GcsOptions& options);
std::string print(const RayletOptions& options);
base::Result<GcsOptions> parse_gcs_options(std::string_view text);
base::Result<RayletOptions> parse_raylet_options(std::string_view text);

}  // namespace mobula::cluster
