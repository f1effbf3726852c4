#include "core/raylet/node.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "core/base/build_info.h"
#include "core/cluster/convert.h"
#include "core/cluster/save_round.h"
#include "core/os/host.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "core/raylet/client_sockets.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::JobId;
using base::NodeId;
using base::Result;
using base::WorkerId;
using cluster::to_id;

constexpr auto kStatusEvery = std::chrono::seconds(1);
constexpr auto kDrainTime = std::chrono::milliseconds(300);  // For the last messages to leave.
constexpr auto kDrainPoll = std::chrono::milliseconds(2);
constexpr auto kFlushTime = std::chrono::seconds(2);
// A driver that does not read its workers' lines loses them (the files keep all) before they fill its channel.
constexpr std::size_t kLinesQueuedMax = 8u << 20;

std::uint32_t whole_cpus(const base::Resources& resources) {
  return static_cast<std::uint32_t>(std::max(1.0, std::ceil(resources.get("cpus").value())));
}

scheduler::LeaseLimits lease_limits(const cluster::RayletOptions& options) {
  scheduler::LeaseLimits limits;
  limits.pool.cores = options.prestart != 0 ? options.prestart : whole_cpus(options.resources);
  limits.pool.workers_max = options.workers_max;
  limits.pool.idle_timeout = std::chrono::milliseconds(options.idle_timeout_ms);
  return limits;
}

objstore::StoreOptions store_options(const cluster::RayletOptions& options) {
  objstore::StoreOptions out;
  out.bytes = options.store_bytes;
  if (options.store_extent_bytes != 0) out.extent_bytes = options.store_extent_bytes;
  out.process_slots = std::min<objstore::SlotId>(4095, options.workers_max + 256);
  return out;
}

// What workers have of their node and not of their driver: how its processes reach those of others, in the words that
// they read at their start, and what a launcher has said of it.
std::vector<std::string> worker_environment(const std::map<std::string, std::string>& settings) {
  std::vector<std::string> out;
  for (const auto& [key, name] :
       {std::pair("node_link", "MOBULA_NODE_LINK"), std::pair("interface", "MOBULA_INTERFACE")}) {
    // Also where it is empty: what the job's environment says is true of its driver's host.
    const auto it = settings.find(key);
    out.push_back(std::string(name) + "=" + (it == settings.end() ? std::string() : it->second));
  }
  // All GPUs that the tasks of this node have lent, and Slurm's name for it.
  for (const char* name : {"CUDA_VISIBLE_DEVICES", "SLURMD_NODENAME"}) {
    if (const char* value = std::getenv(name)) out.push_back(std::string(name) + "=" + value);
  }
  return out;
}

}  // namespace

Node::Node(os::EventLoop& loop, const cluster::RayletOptions& options, const os::Secret& secret)
    : loop_(loop), options_(options), secret_(secret), id_(os::random_id<NodeId>()), host_key_(os::boot_id()) {}

Result<std::unique_ptr<Node>> Node::create(os::EventLoop& loop, const cluster::RayletOptions& options,
                                           const os::Secret& secret) {
  auto node = std::unique_ptr<Node>(new Node(loop, options, secret));
  const auto opened = node->open();
  if (!opened) return opened.error();
  return node;
}

Node::~Node() {
  loop_.cancel(status_timer_);
  memory_.reset();
  heartbeat_.reset();
  admission_.reset();
  early_members_.clear();
  for (auto& [id, watched] : driver_pidfds_) loop_.remove(watched.second);
  clients_.clear();
  peers_.reset();
  data_.reset();  // Its thread writes into what pulls_ holds.
}

transport::ChannelOptions Node::channel_options() const {
  transport::ChannelOptions out;
  std::copy(secret_.view().begin(), secret_.view().end(), out.credentials.key.begin());
  out.credentials.self = {to_id<WorkerId>(id_.bytes()), incarnation_, "raylet"};
  return out;
}

Result<void> Node::open() {
  auto secret_file = secret_.to_memory_file();
  if (!secret_file) return secret_file.error();
  secret_file_ = std::move(*secret_file);
  const auto topology = open_topology();
  if (!topology) return topology.error();
  const auto page = open_spin_page();
  if (!page) return page.error();
  auto store = StoreService::create(loop_, store_options(options_));
  if (!store) return store.error();
  store_ = std::move(*store);

  admission_ = std::make_unique<Admission>(
      loop_, channel_options(),
      Admission::Ports{.process =
                           [this](auto rpc, proto::Register&& request, rpc::Responder responder) {
                             admit(std::move(rpc), std::move(request), std::move(responder));
                           },
                       .peer =
                           [this](auto rpc, proto::PeerHello&& hello, const rpc::Responder& responder) {
                             peers_->accept(std::move(rpc), std::move(hello), responder);
                           }});
  auto address = admission_->listen_unix(options_.session_directory + "/" + options_.name + ".sock");
  if (!address) return address.error();
  address_ = std::move(*address);
  if (!options_.tcp_interface.empty()) {
    auto tcp = admission_->listen_tcp(options_.tcp_interface);
    if (!tcp) return tcp.error();
    tcp_address_ = std::move(*tcp);
  }

  logs_ = std::make_unique<LogCapture>(
      loop_, options_.session_directory + "/logs", options_.name,
      [this](const JobId& job, const proto::LogLines& lines) { deliver_lines(job, lines); });
  log_files_ = std::make_unique<LogFiles>(options_.session_directory + "/logs",
                                          [this](proto::LogFile& file) { logs_->describe(file); });
  gcs_ = std::make_unique<GcsLink>(loop_, gcs_events());
  const auto client = [this](const WorkerId& id) { return clients_.rpc(id); };
  watch_ = std::make_unique<ActorWatch>(*gcs_, client);
  actors_ = std::make_unique<ActorHost>(ActorHost::Ports{
      .client = client,
      .to_gcs = [this](const proto::ActorLease& m) { gcs_->notify(proto::ACTOR_LEASE, m); },
      .rename = [this](const WorkerId& worker, const std::string& name) { logs_->set_name(worker, name); }});
  programs_ = std::make_unique<ProgramStore>(
      loop_, ProgramStore::Options{.directory = options_.session_directory + "/programs", .self = id_},
      program_ports());
  WorkerHostOptions worker_options{secret_file_.get(), address_, options_.session_directory, options_.name,
                                   worker_environment(options_.settings)};
  worker_options.locate = [this](const proto::JobInfo& job, auto located) {
    programs_->locate(job, std::move(located));
  };
  workers_ = std::make_unique<WorkerHost>(
      loop_, *logs_, std::move(worker_options),
      WorkerHost::Events{.ready =
                             [this](const WorkerId& worker, const JobId& job) {
                               const Client* ready = clients_.find(worker);
                               if (ready != nullptr)
                                 leases_->worker_ready(worker, job, ready->address.SerializeAsString());
                             },
                         .ended = [this](const WorkerHost::Ended& ended) { worker_ended(ended); }});
  leases_ =
      std::make_unique<LeaseDriver>(loop_, scheduler::LeaseMachine::Self{id_, options_.resources, labels_, topology_},
                                    lease_limits(options_), lease_ports());
  jobs_ = std::make_unique<Jobs>(loop_, job_ports());
  proto::PeerHello hello;
  hello.set_node_id(id_.bytes());
  hello.set_incarnation(incarnation_);
  hello.set_host_key(host_key_);
  const auto data = open_data(hello);
  if (!data) return data.error();
  peers_ = std::make_unique<Peers>(loop_, Peers::Self{id_, incarnation_, host_key_, channel_options(), hello},
                                   peer_events());
  return {};
}

// The raylet is a process of its own store like any other.
Result<void> Node::open_data(proto::PeerHello& hello) {
  const auto setting = options_.settings.find("node_link");
  const auto link = parse_node_link(setting == options_.settings.end() ? std::string() : setting->second);
  if (!link) return link.error();
  const auto slot = store_->attach(::getpid());
  if (!slot) return slot.error();
  auto client = objstore::StoreClient::attach(os::Fd(::fcntl(slot->control_fd, F_DUPFD_CLOEXEC, 0)),
                                              os::Fd(::fcntl(slot->data_fd, F_DUPFD_CLOEXEC, 0)), slot->slot);
  if (!client) return client.error();
  DataPlane::Options data;
  data.credentials = channel_options().credentials;
  data.socket_directory = options_.session_directory;
  data.interface = options_.tcp_interface;
  data.link = *link;
  data.host_key = host_key_;
  data.data_fd = client->data_fd();
  data.mapping = client->mapping();
  auto plane = DataPlane::create(loop_, data);
  if (!plane) return plane.error();
  data_ = std::move(*plane);
  data_->offer(hello);
  pulls_ = std::make_unique<PullDriver>(
      loop_, id_, *store_, std::move(*client), *data_,
      PullDriver::Ports{.peer = [this](const NodeId& peer) { return peers_->channel(peer); },
                        .dead =
                            [this](const NodeId& peer) {
                              const auto* info = peers_->find(peer);
                              return info != nullptr && info->state() == proto::NodeInfo::DEAD;
                            },
                        .name = [this](const NodeId& peer) { return peers_->name_of(peer); }});
  store_->ask_for_slabs_with([this] {
    pulls_->give_back_slabs();
    clients_.for_each([](const Client& each) { (void)each.rpc->notify(proto::RETURN_SLAB, proto::SlabGrant()); });
  });
  return {};
}

Result<void> Node::open_spin_page() {
  const bool inherited = options_.spin_page_fd >= 0;
  if (inherited) {
    spin_page_ = os::Fd(options_.spin_page_fd).duplicate();
  } else {
    auto made = os::make_memory_file("mobula-spin", runtime::SpinTokens::kBytes);
    if (!made) return made.error();
    spin_page_ = std::move(*made);
  }
  auto mapping = os::map_file(spin_page_, 0, runtime::SpinTokens::kBytes, os::Access::kReadWrite);
  if (!mapping) return mapping.error();
  spin_mapping_ = std::move(*mapping);
  const base::Bytes page(spin_mapping_.data(), spin_mapping_.size());
  spin_ = inherited ? runtime::SpinTokens::attach(page) : runtime::SpinTokens::format(page, os::cpus_available());
  return {};
}

LeaseDriver::Ports Node::lease_ports() {
  return {
      .client = [this](const WorkerId& id) { return clients_.rpc(id); },
      .to_peer = [this](const NodeId& peer,
                        proto::PeerLease&& message) { peers_->send_lease(peer, std::move(message)); },
      .to_gcs =
          [this](const proto::ActorLease& message) {
            if (message.kind() == proto::ActorLease::GRANT) actors_->granted(message);
            gcs_->notify(proto::ACTOR_LEASE, message);
          },
      .start_workers = [this](const JobId& job, std::uint32_t count) { workers_->order(job, count); },
      .bundles_to_gcs = [this](const proto::BundleHold& message) { gcs_->notify(proto::BUNDLES, message); },
      .watch_group = [this](const base::PlacementGroupId& group) { watch_group(group); },
      .bind = [this](const WorkerId& worker, const WorkerBinding& binding,
                     std::function<void()> done) { bind(worker, binding, std::move(done)); },
      .stop_worker = [this](const scheduler::StopWorker& order) { stop_worker(order); },
      .publish = [this](std::uint64_t version, const base::Resources& available) { publish(version, available); },
      .resolve_node = [this](const std::string& node) -> std::optional<NodeId> {
        const bool us = node == options_.name || (!node.empty() && id_.hex().compare(0, node.size(), node) == 0);
        if (us) return id_;
        const auto other = peers_->resolve(node);
        return other || node != os::host_name() ? other : id_;
      },
      .node_name = [this](const NodeId& node) { return node_name(node); },
  };
}

GcsLink::Events Node::gcs_events() {
  return {
      .registered =
          [this](const proto::NodeRegistered& reply) {
            view_changed(reply.view());
            HeartbeatOptions beat;
            beat.gcs_address = options_.gcs_address;
            beat.channel = channel_options();
            beat.self.set_node_id(id_.bytes());
            beat.self.set_incarnation(incarnation_);
            beat.life_fd = options_.life_fd;
            heartbeat_ = std::make_unique<Heartbeat>(
                loop_, std::move(beat),
                Heartbeat::Events{.reply =
                                      [this](const proto::HeartbeatReply& answer) {
                                        if (answer.fenced()) return over("the GCS has declared this node dead", 3);
                                        view_changed(answer.view());
                                      },
                                  .must_end = [this](const std::string& why) { over(why, 0); }});
            heartbeat_->set_status(status_);
            events_.ready();
          },
      .view = [this](const proto::ClusterView& view) { view_changed(view); },
      .actor_lease =
          [this](const proto::ActorLease& message) {
            if (message.kind() == proto::ActorLease::START) return actors_->start(message);
            leases_->from_gcs(message);
          },
      .actor_changed = [this](const proto::ActorInfo& info) { watch_->changed(info); },
      .bundles = [this](const proto::BundleHold& message) { leases_->from_gcs(message); },
      .group_changed = [this](const proto::GroupInfo& info) { leases_->group_news(cluster::to_news(info)); },
      .job_started = [this](const proto::JobInfo& job) { job_heard(job); },
      .job_ended = [this](
                       const proto::JobFinished& message,
                       rpc::Responder responder) { jobs_->end(to_id<JobId>(message.job_id()), std::move(responder)); },
      .time_limit =
          [this](const proto::TimeLimit& limit) {
            time_limit_ = limit;
            clients_.for_each([&](const Client& client) { (void)client.rpc->notify(proto::TIME_LIMIT, limit); });
          },
      .save_state =
          [this](const proto::SaveState& request, rpc::Responder responder) {
            cluster::SaveRound round(request, std::move(responder));
            clients_.for_each([&](const Client& client) {
              if (client.kind != proto::Register::WORKER || client.job.bytes() != request.job_id()) return;
              round.ask(*client.rpc, "worker " + std::to_string(client.pid) + " on " + options_.name);
            });
          },
      .fenced = [this](const std::string& why) { over("fenced: " + why, 3); },
      .closed = [this](const Error& why) { over(why.what, why.code == Code::kDenied ? 2 : 0); },
  };
}

Peers::Events Node::peer_events() {
  return {
      .lease = [this](const NodeId& peer, const proto::PeerLease& message) { leases_->from_peer(peer, message); },
      .dead = [this](const proto::NodeInfo& peer) { peer_died(peer); },
      .hello = [this](const proto::PeerHello& hello) { data_->peer_offers(hello); },
      .serve =
          [this](const NodeId& peer, rpc::Rpc& rpc) {
            pulls_->serve_peer(peer, rpc);
            programs_->serve_peer(peer, rpc);
            serve_questions(rpc);
            rpc.on<proto::LogLines>(proto::PEER_LOG_LINES, [this](proto::LogLines&& lines, rpc::Responder responder) {
              if (lines.lines_size() != 0) deliver_lines(to_id<JobId>(lines.lines(0).job_id()), lines);
              responder.reply(proto::Empty());
            });
          },
      .job = [this](const JobId& job) { return jobs_->find(job); },
      .job_heard = [this](const proto::JobInfo& job) { job_heard(job); },
  };
}

ProgramStore::Ports Node::program_ports() {
  return {
      .channel = [this](const NodeId& peer) { return peers_->channel(peer); },
      .name_of = [this](const NodeId& peer) { return peers_->name_of(peer); },
      .job = [this](const JobId& job) { return jobs_->find(job); },
      .in_use =
          [this](const std::string& build) {
            const auto& all = jobs_->all();
            return std::any_of(all.begin(), all.end(),
                               [&build](const auto& job) { return job.second.info.build_id() == build; });
          },
  };
}

Jobs::Ports Node::job_ports() {
  return {
      .started = [this](const proto::JobInfo& job) { workers_->add_job(job); },
      .release = [this](const JobId& job) { leases_->step(scheduler::JobEnded{job}); },
      .workers =
          [this](const JobId& job) {
            std::vector<WorkerId> out;
            for (const auto& [id, worker] : workers_->workers()) {
              const auto actor = actors_->actors().find(id);
              const bool stays = actor != actors_->actors().end() && actor->second.detached;
              if (worker.job == job && !stays) out.push_back(id);
            }
            return out;
          },
      .ask_to_leave =
          [this](const WorkerId& worker) {
            stop_worker({worker, scheduler::StopMode::kDrain, {}});
          },
      .kill = [this](const WorkerId& worker,
                     const std::string& why) { workers_->kill(worker, proto::ExitCause::JOB_ENDED, why); },
      .forget =
          [this](const JobId& job) {
            const auto& all = workers_->workers();
            const bool detached =
                std::any_of(all.begin(), all.end(), [&](const auto& w) { return w.second.job == job; });
            if (!detached) workers_->end_job(job);
          },
      .flush = [this](const JobId& job, std::function<void()> done) { flush_lines(job, std::move(done)); },
  };
}

Result<void> Node::join(Events events) {
  events_ = std::move(events);
  proto::NodeRegister self;
  self.set_node_id(id_.bytes());
  self.set_incarnation(incarnation_);
  self.set_name(options_.name);
  self.set_host(os::host_name());
  self.set_host_key(host_key_);
  self.set_control_unix(address_);
  self.set_control_tcp(tcp_address_);
  *self.mutable_total() = cluster::to_proto(options_.resources);
  for (const auto& [key, value] : labels_) (*self.mutable_labels())[key] = value;
  self.set_wire_version(base::kWireVersion);
  self.set_pid(::getpid());
  self.set_topology(topology_.encode());
  status_.set_store_bytes_total(options_.store_bytes);
  status_timer_ = loop_.after(kStatusEvery, [this] { publish_status(); });
  watch_memory();
  return gcs_->connect(options_.gcs_address, channel_options(), self);
}

void Node::over(const std::string& why, int code) {
  if (!std::exchange(over_, true)) events_.over(why, code);
}

void Node::end(const std::string& why, std::function<void()> done) {
  over_ = true;
  memory_.reset();
  admission_->close();
  proto::ClusterDown down;
  down.set_why(why);
  clients_.for_each([&](const Client& client) { (void)client.rpc->notify(proto::CLUSTER_DOWN, down); });
  workers_.reset();  // Every worker is killed and reaped, and its last lines are on their way.
  const base::Time until = os::now() + kDrainTime;
  const auto poll = std::make_shared<std::function<void()>>();
  *poll = [this, until, poll, done = std::move(done)] {
    std::size_t queued = 0;
    clients_.for_each([&](const Client& client) { queued += client.rpc->queued_bytes(); });
    if (queued != 0 && os::now() < until) return (void)loop_.after(kDrainPoll, [poll] { (*poll)(); });
    done();
    loop_.post([poll] { *poll = nullptr; });
  };
  (*poll)();
}

void Node::worker_ended(const WorkerHost::Ended& ended) {
  if (ended.was_ready) {
    leases_->step(scheduler::WorkerGone{ended.worker, ended.cause.SerializeAsString()});
    leases_->owner_gone(ended.worker);
  } else {
    leases_->start_failed(ended.job, ended.cause);
  }
  actors_->worker_gone(ended.worker);
  watch_->forget(ended.worker);
  if (const auto client = clients_.remove(ended.worker)) {
    if (client->store_slot) store_->reclaim(*client->store_slot);
    spin_.release_all_of(static_cast<std::uint32_t>(client->pid));
    remove_sockets(client->address, options_.session_directory);
    proto::ProcessGone gone;
    gone.set_worker_id(ended.worker.bytes());
    gcs_->notify(proto::PROCESS_GONE, gone);
  }
  jobs_->worker_gone(ended.job, ended.worker);
}

void Node::stop_worker(const scheduler::StopWorker& order) {
  const WorkerId& worker = order.worker;
  if (order.mode == scheduler::StopMode::kKill) {
    const std::string why = order.why.empty() ? "its owner is gone, or it was killed" : order.why;
    return workers_->kill(worker, proto::ExitCause::KILLED, "stopped by its raylet: " + why);
  }
  proto::Exit exit;
  exit.set_why("no longer needed");
  if (rpc::Rpc* rpc = clients_.rpc(worker)) (void)rpc->notify(proto::EXIT, exit);
}

void Node::watch_group(const base::PlacementGroupId& group) {
  proto::GroupQuery query;
  query.set_group_id(group.bytes());
  gcs_->ask<proto::GroupInfo>(proto::SUBSCRIBE_GROUP, query, rpc::kNoDeadline,
                              [this, group](Result<proto::GroupInfo> info) {
                                if (info) return leases_->group_news(cluster::to_news(*info));
                                if (info.error().code != Code::kNotFound) return;
                                leases_->group_news({group, 1, {}, true, info.error().what});
                              });
}

void Node::view_changed(const proto::ClusterView& view) {
  peers_->update(view);
  for (const auto& info : view.nodes()) {
    const auto other = to_id<NodeId>(info.node_id());
    const bool lives = info.state() != proto::NodeInfo::DEAD;
    if (lives && other != id_ && info.host_key() == host_key_) {
      beside_us_.insert(other);
    } else {
      beside_us_.erase(other);
    }
    auto node = cluster::to_node_view(info);
    if (node) leases_->step(std::move(*node));
  }
}

void Node::peer_died(const proto::NodeInfo& peer) {
  pulls_->peer_gone(to_id<NodeId>(peer.node_id()));
  programs_->peer_gone(to_id<NodeId>(peer.node_id()));
  proto::NodeDead message;
  message.set_node_id(peer.node_id());
  message.set_incarnation(peer.incarnation());
  message.set_why(peer.why_dead());
  clients_.for_each([&](const Client& client) { (void)client.rpc->notify(proto::NODE_DEAD, message); });
}

void Node::deliver_lines(const JobId& job, const proto::LogLines& lines) {
  if (Client* driver = clients_.driver_of(job)) {
    if (driver->rpc->queued_bytes() < kLinesQueuedMax) (void)driver->rpc->notify(proto::LOG_LINES, lines);
    return;
  }
  const auto* info = jobs_->find(job);
  const auto home = info == nullptr ? NodeId{} : to_id<NodeId>(info->driver_node());
  if (home == id_) return;
  rpc::Rpc* channel = peers_->channel(home);
  if (channel != nullptr && channel->queued_bytes() < kLinesQueuedMax)
    (void)channel->notify(proto::PEER_LOG_LINES, lines);
}

// Lines keep their order on a channel, so that the answer to an empty batch says that all before it have arrived.
void Node::flush_lines(const JobId& job, std::function<void()> done) {
  logs_->flush(job);
  const auto* info = jobs_->find(job);
  const auto home = info == nullptr ? NodeId{} : to_id<NodeId>(info->driver_node());
  rpc::Rpc* channel = home == id_ ? nullptr : peers_->channel(home);
  if (channel == nullptr) return done();
  channel->ask<proto::Empty>(proto::PEER_LOG_LINES, proto::LogLines(), kFlushTime,
                             [done = std::move(done)](Result<proto::Empty>) { done(); });
}

void Node::publish(std::uint64_t version, const base::Resources& available) {
  status_.set_available_version(version);
  *status_.mutable_available() = cluster::to_proto(available);
  if (heartbeat_ != nullptr) heartbeat_->set_status(status_);
}

// Apart from what a call changes: the store's figures are a walk through its index, some milliseconds.
void Node::publish_status() {
  loop_.cancel(status_timer_);
  status_timer_ = loop_.after(kStatusEvery, [this] { publish_status(); });
  if (heartbeat_ == nullptr) return;
  const auto stats = store_->store().stats();
  status_.set_store_bytes_used(stats.sealed_bytes);
  status_.set_store_bytes_total(stats.capacity);
  status_.set_workers(workers_ == nullptr ? 0 : static_cast<std::uint32_t>(workers_->workers().size()));
  describe_waiting(status_);
  if (workers_ != nullptr) measure();
  heartbeat_->set_status(status_);
}

}  // namespace mobula::raylet
