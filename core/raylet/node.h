#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "core/base/topology.h"
#include "core/cluster/role_options.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "core/os/memory_file.h"
#include "core/os/secret.h"
#include "core/raylet/actor_host.h"
#include "core/raylet/actor_watch.h"
#include "core/raylet/admission.h"
#include "core/raylet/clients.h"
#include "core/raylet/data_plane.h"
#include "core/raylet/gcs_link.h"
#include "core/raylet/heartbeat.h"
#include "core/raylet/jobs.h"
#include "core/raylet/lease_driver.h"
#include "core/raylet/log_capture.h"
#include "core/raylet/log_files.h"
#include "core/raylet/memory_monitor.h"
#include "core/raylet/peers.h"
#include "core/raylet/program_store.h"
#include "core/raylet/pull_driver.h"
#include "core/raylet/store_service.h"
#include "core/raylet/use_meter.h"
#include "core/raylet/worker_host.h"
#include "core/worker/spin_tokens.h"

namespace mobula::raylet {

// The parts of a raylet, wired to each other.  Each part decides or does one thing and knows the others only by its
// ports; here is who speaks to whom.
class Node {
 public:
  static base::Result<std::unique_ptr<Node>> create(os::EventLoop& loop, const cluster::RayletOptions& options,
                                                    const os::Secret& secret);
  ~Node();
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  struct Events {
    std::function<void()> ready;                                 // Part of the cluster; workers and drivers may come.
    std::function<void(const std::string& why, int code)> over;  // Once; the process should end().
  };
  base::Result<void> join(Events events);
  // Tells everybody, ends and reaps the workers, then calls `done`.
  void end(const std::string& why, std::function<void()> done);

  const std::string& address() const { return address_; }
  const base::NodeId& id() const { return id_; }

 private:
  Node(os::EventLoop& loop, const cluster::RayletOptions& options, const os::Secret& secret);
  base::Result<void> open();
  base::Result<void> open_spin_page();
  base::Result<void> open_topology();
  base::Result<void> open_data(proto::PeerHello& hello);
  transport::ChannelOptions channel_options() const;

  LeaseDriver::Ports lease_ports();
  GcsLink::Events gcs_events();
  Peers::Events peer_events();
  Jobs::Ports job_ports();
  ProgramStore::Ports program_ports();

  // Registration of this node's processes (registration.cc).
  void admit(std::unique_ptr<rpc::Rpc> rpc, proto::Register&& request, rpc::Responder responder);
  void admit_driver(std::shared_ptr<Client> client, const proto::Register& request, rpc::Responder responder);
  void admit_member(std::shared_ptr<Client> client, const rpc::Responder& responder);
  void job_heard(const proto::JobInfo& job);
  void member_left(const Client& client);
  void complete(Client& client, const rpc::Responder& responder);
  void client_closed(const base::WorkerId& id);
  void driver_gone(const Client& client);

  void worker_ended(const WorkerHost::Ended& ended);
  void stop_worker(const scheduler::StopWorker& order);
  void bind(const base::WorkerId& worker, const WorkerBinding& binding, std::function<void()> done);
  bool may_bind() const;
  void watch_group(const base::PlacementGroupId& group);
  void view_changed(const proto::ClusterView& view);
  void peer_died(const proto::NodeInfo& peer);
  void deliver_lines(const base::JobId& job, const proto::LogLines& lines);
  void flush_lines(const base::JobId& job, std::function<void()> done);
  void publish(std::uint64_t version, const base::Resources& available);
  void publish_status();
  std::string status_json() const;  // status.cc
  // measured.cc
  void watch_memory();
  std::vector<scheduler::MemoryUser> memory_users() const;
  void measure();
  std::string use_json() const;
  // waiting.cc
  std::string who(const base::WorkerId& owner) const;
  std::string waiting_json() const;
  std::string held_json() const;
  void describe_waiting(proto::Heartbeat& beat) const;
  std::string node_name(const base::NodeId& node) const { return node == id_ ? options_.name : peers_->name_of(node); }
  // What tools ask of one node: answered here, or passed on to the node that is meant (questions.cc).
  void serve_questions(rpc::Rpc& rpc);
  template <class Query>
  void serve_question(rpc::Rpc& rpc, proto::MessageType type,
                      std::function<void(const Query&, const rpc::Responder&)> answer);
  void over(const std::string& why, int code);

  os::EventLoop& loop_;
  const cluster::RayletOptions options_;
  const os::Secret& secret_;
  const base::NodeId id_;
  base::Topology topology_;
  bool topology_is_ours_ = false;     // Of this machine: workers can be bound by it.
  std::set<base::NodeId> beside_us_;  // Other raylets of this host that live.
  std::map<std::string, std::string> labels_;
  const std::uint64_t incarnation_ = 1;
  const std::string host_key_;
  std::string address_;
  std::string tcp_address_;
  Events events_;
  bool over_ = false;
  proto::Heartbeat status_;
  proto::TimeLimit time_limit_;  // Of the cluster, as the GCS knows it.

  os::Fd secret_file_;
  os::Fd spin_page_;
  os::Mapping spin_mapping_;
  runtime::SpinTokens spin_;

  // In the order of their making; clients and peers end before what they speak to.
  std::unique_ptr<LogCapture> logs_;
  std::unique_ptr<LogFiles> log_files_;
  std::unique_ptr<StoreService> store_;
  std::unique_ptr<GcsLink> gcs_;
  std::unique_ptr<ActorWatch> watch_;
  std::unique_ptr<ActorHost> actors_;
  std::unique_ptr<ProgramStore> programs_;
  std::unique_ptr<WorkerHost> workers_;
  std::unique_ptr<LeaseDriver> leases_;
  std::unique_ptr<Jobs> jobs_;
  std::unique_ptr<DataPlane> data_;
  std::unique_ptr<PullDriver> pulls_;
  std::unique_ptr<Peers> peers_;
  Clients clients_;
  std::map<base::WorkerId, std::pair<os::Fd, os::EventLoop::Id>> driver_pidfds_;  // Whose slots wait for their end.
  // Drivers that came before this node has heard of their job.
  std::multimap<base::JobId, std::pair<std::shared_ptr<Client>, rpc::Responder>> early_members_;
  std::unique_ptr<Admission> admission_;
  std::unique_ptr<Heartbeat> heartbeat_;
  std::unique_ptr<MemoryMonitor> memory_;
  UseMeter use_;
  os::EventLoop::Id status_timer_ = 0;
};

}  // namespace mobula::raylet
