#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/result.h"
#include "core/base/settings.h"
#include "core/cluster/end_on_signal.h"
#include "core/cluster/launch.h"
#include "core/cluster/role_options.h"
#include "core/os/secret.h"
#include "core/os/session.h"
#include "slurm/identity.h"
#include "slurm/local_meeting.h"
#include "slurm/rendezvous.h"

namespace mobula::cluster {

// One task's part in a cluster whose nodes a launcher has started.
//
//   rank 0                  GCS and its node's raylet as children; publishes where they are; waits for the other nodes
//   leader of another node  learns where; that node's raylet as a child
//   everybody else          lends CPUs and GPUs to the raylet of its node
//
// Whoever runs user code (rank 0, or with `all_ranks` every task) then joins the raylet at `seat()`; the others
// serve(). What this process has started ends with it, however it ends.
class LaunchedCluster {
 public:
  struct Options {
    slurm::Identity identity;
    bool all_ranks = false;
    std::string slurm_conf;
  };
  static base::Result<std::unique_ptr<LaunchedCluster>> start(Options options, const base::Settings& settings);
  ~LaunchedCluster();
  LaunchedCluster(const LaunchedCluster&) = delete;
  LaunchedCluster& operator=(const LaunchedCluster&) = delete;

  const slurm::Identity& identity() const { return options_.identity; }
  bool runs_user_code() const { return identity().rank == 0 || options_.all_ranks; }

  // Where this process joins the cluster.
  struct Seat {
    std::string raylet_address;
    std::string session_directory;
    std::string interface;  // Numeric; empty: the cluster is on this host alone.
    base::JobId job;        // Made by rank 0; the others are members of it.
  };
  const Seat& seat() const { return seat_; }
  const os::Secret& secret() const { return *secret_; }

  // For tasks that run no user code: until this node's part is over.  Signals that Slurm and mpirun send to every task
  // are for the driver to act on; a node that is told to end, and does not within a grace time, is ended.  The exit
  // code: 0, since the driver's is the job's.  `may_end` is asked in the grace time: true ends it early.
  int serve(const std::function<bool()>& may_end = nullptr);
  // The GCS, at rank 0, and this node's raylet.
  const std::vector<Launch::Child>& children() { return launch_->children(); }

 private:
  LaunchedCluster(Options options, const base::Settings& settings)
      : options_(std::move(options)), settings_(settings) {}

  base::Result<void> begin();
  base::Result<void> be_guest();
  base::Result<void> be_leader();
  base::Result<void> make_session();
  base::Result<void> be_rank_zero(RayletOptions raylet);
  base::Result<void> be_other_leader(RayletOptions raylet);
  base::Result<void> choose_way();
  bool has_several_nodes() const { return !identity().is_one_node(); }
  void welcome_guests();
  base::Result<void> take_seat(const std::string& bytes);
  base::Result<void> gather(RayletOptions& raylet);
  base::Result<void> start_raylet(RayletOptions raylet);
  base::Result<void> start_child(const std::function<base::Result<void>()>& start);
  base::Result<void> listen_at(const std::string& towards);
  base::Result<void> wait_for_nodes();
  base::Error missing(const std::vector<std::string>& joined, std::uint64_t tasks) const;
  std::string meeting_name() const;

  Options options_;
  const base::Settings& settings_;
  std::optional<EndOnSignal> signals_;  // While this is made or ends.
  base::Time deadline_;
  Seat seat_;
  std::optional<os::Secret> secret_;
  std::optional<os::SessionDirectory> session_;  // Leaders.
  std::unique_ptr<slurm::LocalMeeting> meeting_;
  std::unique_ptr<slurm::Rendezvous> rendezvous_;
  std::vector<std::uint32_t> cpus_;  // That the raylet gets.
  std::optional<std::string> gpus_;
  std::optional<Launch> launch_;
};

}  // namespace mobula::cluster
