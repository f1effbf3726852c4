#include "core/raylet/peers.h"

#include <algorithm>
#include <utility>

#include "core/cluster/convert.h"
#include "core/os/log.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::NodeId;
using cluster::to_id;

constexpr auto kHelloTimeout = std::chrono::seconds(5);

}  // namespace

void Peers::update(const proto::ClusterView& view) {
  version_ = std::max(version_, view.version());
  for (const auto& info : view.nodes()) {
    const auto id = NodeId::from_string(info.node_id());
    if (!id || *id == self_.node) continue;
    proto::NodeInfo& known = nodes_[*id];
    if (info.version() != 0 && info.version() <= known.version()) continue;
    const bool died = info.state() == proto::NodeInfo::DEAD && known.state() != proto::NodeInfo::DEAD;
    const bool replaced = !died && !known.node_id().empty() && known.incarnation() != info.incarnation();
    known = info;
    if (died || replaced) {
      outgoing_.erase(*id);
      events_.dead(info);
    }
  }
}

const proto::NodeInfo* Peers::find(const NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second;
}

std::optional<NodeId> Peers::resolve(const std::string& node) const {
  if (node.empty()) return std::nullopt;
  for (const auto& [id, info] : nodes_) {
    if (info.state() == proto::NodeInfo::DEAD) continue;
    if (info.name() == node || info.host() == node || id.hex().compare(0, node.size(), node) == 0) return id;
  }
  return std::nullopt;
}

std::string Peers::name_of(const NodeId& node) const {
  const auto* info = find(node);
  return info == nullptr || info->name().empty() ? node.short_hex() : info->name();
}

Peers::Outgoing* Peers::open(const NodeId& peer) {
  const auto known = nodes_.find(peer);
  if (known == nodes_.end() || known->second.state() == proto::NodeInfo::DEAD) return nullptr;
  const auto it = outgoing_.find(peer);
  if (it != outgoing_.end()) return &it->second;
  const proto::NodeInfo& info = known->second;
  const bool same_host = info.host_key() == self_.host_key && !info.control_unix().empty();
  const std::string& address = same_host ? info.control_unix() : info.control_tcp();
  if (address.empty()) return nullptr;
  auto rpc =
      rpc::Rpc::connect(loop_, address, self_.channel,
                        {.ready = nullptr, .closed = [this, peer](const Error& why) {
                           os::log(os::LogLevel::kInfo, "the channel to node {} closed: {}", name_of(peer), why.what);
                           outgoing_.erase(peer);
                         }});
  if (!rpc) return nullptr;
  Outgoing& out = outgoing_[peer];
  out.rpc = std::move(*rpc);
  // The answer and what follows keep their order, so nothing has to wait for it.
  out.rpc->ask<proto::PeerHello>(proto::PEER_HELLO, self_.hello, kHelloTimeout,
                                 [this, peer](base::Result<proto::PeerHello> hello) {
                                   if (hello) return events_.hello(*hello);
                                   if (hello.error().code != Code::kUnavailable)
                                     outgoing_.erase(peer);  // It refuses us: stale, or fenced.
                                 });
  return &out;
}

rpc::Rpc* Peers::channel(const NodeId& peer) {
  Outgoing* out = open(peer);
  return out == nullptr ? nullptr : out->rpc.get();
}

void Peers::send_lease(const NodeId& peer, proto::PeerLease&& message) {
  Outgoing* out = open(peer);
  if (out == nullptr) return;
  if (message.kind() == proto::PeerLease::DEMAND &&
      out->jobs_told.insert(to_id<base::JobId>(message.job_id())).second) {
    if (const auto* job = events_.job(to_id<base::JobId>(message.job_id()))) *message.mutable_job() = *job;
  }
  (void)out->rpc->notify(proto::PEER_LEASE, message);
}

void Peers::accept(std::unique_ptr<rpc::Rpc> rpc, proto::PeerHello hello, const rpc::Responder& responder) {
  const auto peer = NodeId::from_string(hello.node_id());
  if (!peer) return responder.fail({Code::kInvalid, "PEER_HELLO without a node id"});
  const auto* known = find(*peer);
  const bool stale =
      known != nullptr && (known->incarnation() > hello.incarnation() ||
                           (known->incarnation() == hello.incarnation() && known->state() == proto::NodeInfo::DEAD));
  if (stale) {
    return responder.fail({Code::kDenied, "this life of node " + peer->short_hex() + " (incarnation " +
                                              std::to_string(hello.incarnation()) + ") is over"});
  }
  const std::uint64_t number = next_incoming_++;
  rpc->on<proto::PeerLease>(proto::PEER_LEASE, [this, peer = *peer](proto::PeerLease&& m, rpc::Responder) {
    if (m.has_job()) events_.job_heard(m.job());
    events_.lease(peer, m);
  });
  events_.serve(*peer, *rpc);
  rpc->on_closed([this, number](const Error&) { incoming_.erase(number); });
  incoming_[number] = std::move(rpc);
  events_.hello(hello);
  responder.reply(self_.hello);
}

}  // namespace mobula::raylet
