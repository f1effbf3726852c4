#include "core/gcs/gcs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "core/cluster/save_round.h"
#include "core/gcs/actor_table.h"
#include "core/gcs/group_table.h"
#include "core/gcs/job_table.h"
#include "core/gcs/key_value.h"
#include "core/gcs/listing.h"
#include "core/gcs/node_table.h"
#include "core/gcs/storage.h"
#include "core/gcs/time_limit.h"
#include "core/os/end_signals.h"
#include "core/os/event_loop.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/os/session.h"

namespace mobula::gcs {
namespace {

using base::NodeId;
using base::Result;

constexpr auto kDrainTime = std::chrono::milliseconds(200);
constexpr auto kDrainPoll = std::chrono::milliseconds(1);

// Wires the tables to the channels.
class Gcs {
 public:
  Gcs(os::EventLoop& loop, const cluster::GcsOptions& options, const os::Secret& secret,
      std::function<void(const std::string&)> over)
      : loop_(loop),
        options_(options),
        over_(std::move(over)),
        key_values_(storage_),
        nodes_(loop, {.joined =
                          [this](const NodeId&, rpc::Rpc& rpc) {
                            jobs_.node_joined(rpc);
                            time_limit_.node_joined(rpc);
                          },
                      .changed =
                          [this](const scheduler::NodeView& view) {
                            report_joined(view);
                            actors_.node_changed(view);
                            groups_.node_changed(view);
                            if (view.state == scheduler::NodeState::kDead) jobs_.node_died(view.node);
                          }}),
        actors_(loop, {.channel = [this](const NodeId& node) { return nodes_.channel(node); },
                       .resolve_node = [this](const std::string& node) { return resolve(node); },
                       .process_gone = [this](const base::WorkerId& worker) { groups_.owner_gone(worker); },
                       .member_died = [this](const base::PlacementGroupId& group) { groups_.member_died(group); },
                       .labelled = [this](const scheduler::NodeActors& labels) { nodes_.labelled(labels); },
                       .node_name = [this](const NodeId& node) { return name_of(node); }}),
        groups_(loop, {.channel = [this](const NodeId& node) { return nodes_.channel(node); },
                       .topology = [this](const NodeId& node) { return nodes_.topology(node); },
                       .node_name = [this](const NodeId& node) { return name_of(node); },
                       .changed = [this](const scheduler::GroupNews& news) { actors_.group_changed(news); }}),
        jobs_(storage_, {.each_node = [this](const auto& visit) { nodes_.each_channel(visit); },
                         .ended =
                             [this](const base::JobId& job) {
                               groups_.job_ended(job);
                               actors_.job_ended(job);
                             }}),
        time_limit_(loop, options, [this](const proto::TimeLimit& limit) {
          nodes_.each_channel([&limit](const NodeId&, rpc::Rpc& rpc) { (void)rpc.notify(proto::TIME_LIMIT, limit); });
        }) {
    std::copy(secret.view().begin(), secret.view().end(), channel_.credentials.key.begin());
    channel_.credentials.self.name = "gcs";
  }

  Result<void> listen() {
    auto on_unix = transport::listen_unix(loop_, options_.session_directory + "/gcs.sock", channel_,
                                          [this](auto channel, auto set) { arrived(std::move(channel), set); });
    if (!on_unix) return on_unix.error();
    listeners_.push_back(std::move(*on_unix));
    if (options_.tcp_interface.empty()) return {};
    auto on_tcp = transport::listen_tcp(loop_, options_.tcp_interface, channel_,
                                        [this](auto channel, auto set) { arrived(std::move(channel), set); });
    if (!on_tcp) return on_tcp.error();
    listeners_.push_back(std::move(*on_tcp));
    return {};
  }
  std::string address() const { return listeners_.front()->address(); }
  std::string tcp_address() const { return listeners_.size() > 1 ? listeners_[1]->address() : std::string(); }

  // Tells the nodes, and calls `done` once that has left.
  void end(const std::string& why, std::function<void()> done) {
    listeners_.clear();
    proto::ClusterDown down;
    down.set_why(why);
    nodes_.each_channel([&down](const NodeId&, rpc::Rpc& rpc) { (void)rpc.notify(proto::CLUSTER_DOWN, down); });
    drain(os::now() + kDrainTime, std::move(done));
  }

 private:
  void drain(base::Time until, std::function<void()> done) {
    std::size_t queued = 0;
    nodes_.each_channel([&queued](const NodeId&, rpc::Rpc& rpc) { queued += rpc.queued_bytes(); });
    if (queued == 0 || os::now() >= until) return done();
    loop_.after(kDrainPoll, [this, until, done = std::move(done)] { drain(until, done); });
  }

  void arrived(std::unique_ptr<transport::Channel> channel,
               const std::function<void(transport::Channel::Callbacks)>& set) {
    const std::uint64_t number = next_++;
    std::shared_ptr<rpc::Rpc> rpc =
        rpc::Rpc::accept(loop_, std::move(channel), set,
                         {.ready = nullptr, .closed = [this, number](const base::Error&) { channels_.erase(number); }});
    channels_[number] = rpc;
    const std::weak_ptr<rpc::Rpc> weak = rpc;
    rpc->on<proto::NodeRegister>(proto::NODE_REGISTER,
                                 [this, number, weak](proto::NodeRegister&& request, rpc::Responder responder) {
                                   const auto self = weak.lock();
                                   const auto id = NodeId::from_string(request.node_id());
                                   if (self == nullptr || !id)
                                     return responder.fail({base::Code::kInvalid, "a node without an id"});
                                   serve_node(self, *id, number);
                                   nodes_.enter(self, request, responder);
                                 });
    rpc->on<proto::Heartbeat>(proto::HEARTBEAT, [this](proto::Heartbeat&& beat, rpc::Responder responder) {
      nodes_.heartbeat(beat, responder);
    });
    rpc->on<proto::List>(proto::LIST, [this](proto::List&& request, rpc::Responder responder) {
      proto::Json json;
      json.set_text(list_json(request.what(), options_.cluster_name, nodes_, actors_, groups_, jobs_));
      if (json.text().empty())
        return responder.fail({base::Code::kInvalid, "nothing is listed as \"" + request.what() + "\""});
      responder.reply(json);
    });
    rpc->serve(proto::STOP_CLUSTER, [this](rpc::Message&&, rpc::Responder responder) {
      responder.reply(proto::Empty());
      over_("the cluster was stopped");
    });
  }

  void serve_node(const std::shared_ptr<rpc::Rpc>& rpc, const NodeId& node, std::uint64_t number) {
    actors_.serve(*rpc, node);
    groups_.serve(*rpc, node);
    jobs_.serve(*rpc);
    key_values_.serve(*rpc);
    rpc->on<proto::SaveState>(proto::SAVE_STATE, [this](proto::SaveState&& request, rpc::Responder responder) {
      cluster::SaveRound round(request, std::move(responder));
      nodes_.each_channel([&round](const NodeId& id, rpc::Rpc& to) { round.ask(to, "node " + id.short_hex()); });
    });
    rpc->serve(proto::NODE_LEAVING,
               [this, node](rpc::Message&&, rpc::Responder) { nodes_.left(node, "it left in order"); });
    rpc->on_closed([this, node, number, raw = rpc.get()](const base::Error&) {
      nodes_.closed(node, raw);
      channels_.erase(number);
    });
  }

  // To whoever waits for a launcher's nodes.
  void report_joined(const scheduler::NodeView& view) {
    if (options_.joined_fd < 0 || view.state != scheduler::NodeState::kAlive || !joined_.insert(view.node).second)
      return;
    proto::NodeRegister node;
    const auto tasks = view.labels.find(cluster::kTasksLabel);
    if (!node.ParseFromString(view.address) || tasks == view.labels.end()) return;
    const std::string line = node.name() + "\t" + tasks->second + "\n";
    if (::write(options_.joined_fd, line.data(), line.size()) < 0)
      os::log(os::LogLevel::kInfo, "nobody reads which nodes have joined");
  }

  std::string name_of(const NodeId& id) const {
    const proto::ClusterView view = nodes_.view(0);
    for (const auto& node : view.nodes()) {
      if (NodeId::from_string(node.node_id()) == id) return node.name();
    }
    return id.short_hex();
  }

  std::optional<NodeId> resolve(const std::string& name) const {
    const proto::ClusterView view = nodes_.view(0);
    for (const auto& node : view.nodes()) {
      const auto id = NodeId::from_string(node.node_id());
      if (!id || name.empty() || node.state() == proto::NodeInfo::DEAD) continue;
      if (node.name() == name || node.host() == name || id->hex().compare(0, name.size(), name) == 0) return id;
    }
    return std::nullopt;
  }

  os::EventLoop& loop_;
  const cluster::GcsOptions& options_;
  const std::function<void(const std::string&)> over_;
  transport::ChannelOptions channel_;
  MemoryStorage storage_;
  KeyValueStore key_values_;
  NodeTable nodes_;
  ActorTable actors_;
  GroupTable groups_;
  JobTable jobs_;
  TimeLimit time_limit_;
  std::map<std::uint64_t, std::shared_ptr<rpc::Rpc>> channels_;
  std::uint64_t next_ = 1;
  std::set<NodeId> joined_;
  std::vector<std::unique_ptr<transport::Listener>> listeners_;
};

void report(int fd, const std::string& line) {
  if (fd < 0) return;
  [[maybe_unused]] const auto n = ::write(fd, line.data(), line.size());
  ::close(fd);
}

// Whose directory the session's was.
bool owner_is_gone(int life_fd) {
  pollfd polled{life_fd, POLLIN, 0};
  return life_fd >= 0 && ::poll(&polled, 1, 0) > 0;
}

int serve(const cluster::GcsOptions& options, const os::Secret& secret) {
  os::set_process_name("mobula-gcs");
  os::start_log({.process = "gcs", .file = ""});
  os::EndSignals signals(options.life_fd >= 0 ? os::EndSignals::Owner::kParent : os::EndSignals::Owner::kNobody);
  ::signal(SIGPIPE, SIG_IGN);  // Whoever has read enough of joined_fd closes it.
  for (const int fd : {options.life_fd, options.ready_fd, options.listening_fd, options.joined_fd}) {
    if (fd >= 0) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  {
    os::EventLoop loop;
    std::unique_ptr<Gcs> gcs;
    bool ending = false;
    const auto over = [&](const std::string& why) {
      if (std::exchange(ending, true)) return;
      os::log(os::LogLevel::kInfo, "ending: {}", why);
      loop.post([&, why] { gcs->end(why, [&loop] { loop.stop(); }); });
    };
    gcs = std::make_unique<Gcs>(loop, options, secret, over);
    const auto listening = gcs->listen();
    if (!listening) {
      os::log(os::LogLevel::kError, "{}", listening.error().what);
      report(options.ready_fd, "error\tgcs\t" + listening.error().what + "\n");
      return 2;
    }
    if (options.listening_fd >= 0) ::close(options.listening_fd);
    report(options.ready_fd, "ready\tgcs\t" + gcs->address() + "\t" + gcs->tcp_address() + "\n");
    const auto signal_watch = loop.watch(signals.fd(), EPOLLIN, [&](std::uint32_t) {
      if (signals.take()) over("the GCS was told to stop");
    });
    os::EventLoop::Id life_watch = 0;
    if (options.life_fd >= 0) {
      life_watch = loop.watch(options.life_fd, EPOLLIN, [&](std::uint32_t) {
        loop.remove(life_watch);
        over("the process that owns the cluster has ended");
      });
    }
    loop.run();
    loop.remove(signal_watch);
    loop.remove(life_watch);
    gcs.reset();
  }
  return 0;
}

}  // namespace

int run_gcs(const cluster::GcsOptions& options, const os::Secret& secret) {
  const int code = serve(options, secret);
  if (options.remove_session && owner_is_gone(options.life_fd)) os::remove_tree(options.session_directory);
  if (options.life_fd < 0) os::keep_logs_only(options.session_directory);
  return code;
}

}  // namespace mobula::gcs
