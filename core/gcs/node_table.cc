#include "core/gcs/node_table.h"

#include <iterator>
#include <utility>
#include <variant>

#include "core/base/build_info.h"
#include "core/cluster/convert.h"
#include "core/os/log.h"

namespace mobula::gcs {
namespace {

using base::Code;
using base::NodeId;
using cluster::to_id;

}  // namespace

NodeTable::NodeTable(os::EventLoop& loop, Events events)
    : loop_(loop), events_(std::move(events)), machine_(scheduler::MembershipLimits{}) {}

NodeTable::~NodeTable() { loop_.cancel(timer_); }

rpc::Rpc* NodeTable::channel(const NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : it->second.rpc.get();
}

const base::Topology* NodeTable::topology(const NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second.topology;
}

const proto::Heartbeat* NodeTable::last_beat(const NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second.last;
}

void NodeTable::enter(std::shared_ptr<rpc::Rpc> rpc, const proto::NodeRegister& request,
                      const rpc::Responder& responder) {
  base::Result<base::Topology> topology = base::Topology();
  if (!request.topology().empty()) topology = base::Topology::decode(base::as_bytes(request.topology()));
  const auto id = NodeId::from_string(request.node_id());
  auto total = cluster::to_resources(request.total());
  proto::NodeRegistered refusal;
  if (!id || id->is_nil()) {
    refusal.set_why_not("its id has " + std::to_string(request.node_id().size()) + " bytes");
  } else if (!total) {
    refusal.set_why_not(total.error().what);
  } else if (!topology) {
    refusal.set_why_not(topology.error().what);
  } else if (request.wire_version() != base::kWireVersion) {
    refusal.set_why_not("it speaks wire version " + std::to_string(request.wire_version()) + ", this cluster " +
                        std::to_string(base::kWireVersion));
  }
  if (!refusal.why_not().empty()) return responder.reply(refusal);
  scheduler::NodeRegistered event;
  event.node = *id;
  event.incarnation = request.incarnation();
  proto::NodeRegister address = request;
  address.clear_topology();  // Only the GCS wants it.
  event.address = address.SerializeAsString();
  event.total = std::move(*total);
  for (const auto& [key, value] : request.labels()) event.labels[key] = value;
  Node& node = nodes_[*id];
  node.rpc = std::move(rpc);
  node.incarnation = request.incarnation();
  node.registering = responder;
  node.topology = std::move(*topology);
  step(std::move(event));
}

void NodeTable::closed(const NodeId& id, const rpc::Rpc* rpc) {
  const auto it = nodes_.find(id);
  if (it == nodes_.end() || it->second.rpc.get() != rpc) return;  // It has connected again.
  it->second.rpc.reset();
  step(scheduler::NodeConnectionClosed{id, it->second.incarnation});
}

void NodeTable::labelled(const scheduler::NodeActors& labels) {
  step(scheduler::NodeLabelled{labels.node, labels.labels});
}

void NodeTable::left(const NodeId& id, const std::string& why) {
  const auto it = nodes_.find(id);
  if (it != nodes_.end()) step(scheduler::NodeExited{id, it->second.incarnation, why});
}

void NodeTable::heartbeat(const proto::Heartbeat& beat, const rpc::Responder& responder) {
  const auto id = to_id<NodeId>(beat.node_id());
  const auto it = nodes_.find(id);
  proto::HeartbeatReply reply;
  const auto* view = machine_.find(id);
  const bool dead = view == nullptr || view->state == scheduler::NodeState::kDead;
  if (it == nodes_.end() || it->second.incarnation != beat.incarnation() || dead) {
    reply.set_fenced(true);
    return responder.reply(reply);
  }
  it->second.last = beat;
  scheduler::NodeHeartbeat event{id, beat.incarnation(), beat.available_version(), {}};
  for (const auto& [name, units] : beat.available().units()) event.available.set(name, {units});
  step(std::move(event));
  if (machine_.version() > beat.view_version()) *reply.mutable_view() = this->view(beat.view_version());
  responder.reply(reply);
}

proto::NodeInfo NodeTable::info(const scheduler::NodeChanged& change) const {
  proto::NodeInfo out = cluster::to_node_info(change.view, change.incarnation, change.why);
  if (const auto it = nodes_.find(change.view.node); it != nodes_.end()) {
    out.set_store_bytes_used(it->second.last.store_bytes_used());
    out.set_store_bytes_total(it->second.last.store_bytes_total());
    out.set_workers(it->second.last.workers());
  }
  return out;
}

proto::ClusterView NodeTable::view(std::uint64_t since) const {
  proto::ClusterView out;
  out.set_version(machine_.version());
  for (const auto& change : machine_.changes_since(since)) *out.add_nodes() = info(change);
  return out;
}

void NodeTable::step(scheduler::MembershipInput input) {
  base::Outbox<scheduler::MembershipOutput> outputs;
  machine_.step(os::now(), std::move(input), outputs);
  apply(outputs);
}

void NodeTable::apply(base::Outbox<scheduler::MembershipOutput>& outputs) {
  std::vector<scheduler::NodeChanged> news;
  for (auto& output : outputs) {
    if (const auto* accepted = std::get_if<scheduler::NodeAccepted>(&output)) accept(*accepted);
    if (const auto* fenced = std::get_if<scheduler::NodeFenced>(&output)) fence(*fenced);
    if (auto* changed = std::get_if<scheduler::NodeChanged>(&output)) news.push_back(std::move(*changed));
  }
  if (!news.empty()) {
    std::size_t readers = 0;
    each_channel([&](const NodeId&, rpc::Rpc&) { ++readers; });
    news_.insert(news_.end(), std::make_move_iterator(news.begin()), std::make_move_iterator(news.end()));
    base::Outbox<scheduler::NewsOutput> due;
    batch_.step(os::now(), {readers}, due);
    publish(due);
  }
  arm();
}

void NodeTable::arm() {
  loop_.cancel(timer_);
  timer_ = 0;
  auto deadline = machine_.next_deadline();
  const auto news_at = batch_.next_deadline();
  if (news_at && (!deadline || *news_at < *deadline)) deadline = news_at;
  if (!deadline) return;
  timer_ = loop_.at(*deadline, [this] {
    timer_ = 0;
    base::Outbox<scheduler::MembershipOutput> outputs;
    machine_.tick(os::now(), outputs);
    base::Outbox<scheduler::NewsOutput> due;
    batch_.tick(os::now(), due);
    publish(due);
    apply(outputs);
  });
}

void NodeTable::accept(const scheduler::NodeAccepted& output) {
  const auto it = nodes_.find(output.node);
  if (it == nodes_.end() || it->second.rpc == nullptr) return;
  events_.joined(output.node, *it->second.rpc);
  proto::NodeRegistered reply;
  reply.set_accepted(true);
  *reply.mutable_view() = view(0);
  std::exchange(it->second.registering, {}).reply(reply);
}

void NodeTable::fence(const scheduler::NodeFenced& output) {
  const auto it = nodes_.find(output.node);
  if (it == nodes_.end() || it->second.rpc == nullptr) return;
  if (it->second.registering.wanted()) {
    proto::NodeRegistered reply;
    reply.set_why_not(output.why);
    return std::exchange(it->second.registering, {}).reply(reply);
  }
  proto::NodeDead message;
  message.set_node_id(output.node.bytes());
  message.set_incarnation(output.incarnation);
  message.set_why(output.why);
  (void)it->second.rpc->notify(proto::NODE_FENCED, message);
}

void NodeTable::publish(base::Outbox<scheduler::NewsOutput>& due) {
  if (due.empty()) return;
  const std::vector<scheduler::NodeChanged> news = std::exchange(news_, {});
  proto::ClusterView view;
  for (const auto& change : news) {
    if (change.view.state != scheduler::NodeState::kAlive) {
      os::log(os::LogLevel::kInfo, "node {} is {}: {}", change.view.node.short_hex(),
              change.view.state == scheduler::NodeState::kDead ? "dead" : "suspect", change.why);
    }
    view.set_version(change.view.version);
    *view.add_nodes() = info(change);
  }
  each_channel([&](const NodeId&, rpc::Rpc& rpc) { (void)rpc.notify(proto::CLUSTER_VIEW, view); });
  for (const auto& change : news) events_.changed(change.view);
}

}  // namespace mobula::gcs
