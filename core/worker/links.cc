#include "core/worker/links.h"

#include "core/os/log.h"

namespace mobula::runtime {

NodeLink parse_node_link(const std::string& text) {
  if (text == "shm") return NodeLink::kShm;
  if (text == "sock") return NodeLink::kSock;
  if (text == "ucx") return NodeLink::kUcx;
  if (text == "ofi") return NodeLink::kOfi;
  return NodeLink::kAuto;
}

Peer& Links::peer(const ProcessAddress& address) {
  auto& slot = peers_[address.worker];
  if (slot == nullptr) slot = std::make_unique<Peer>();
  // A peer that connected to us first has no address yet.
  if (slot->address.shm.empty() && slot->address.sock.empty()) {
    transport::Endpoint* endpoint = slot->endpoint;
    slot->address = address;
    slot->endpoint = endpoint;
  }
  return *slot;
}

Peer* Links::find(const base::WorkerId& id) {
  const auto it = peers_.find(id);
  return it == peers_.end() ? nullptr : it->second.get();
}

transport::Worker* Links::worker_for(const ProcessAddress& to, const std::string*& address) {
  const bool same_node = to.node == self_.node;
  const bool same_host = !to.host_key.empty() && to.host_key == self_.host_key;
  const auto use = [&](transport::Worker* worker, const std::string& a) -> transport::Worker* {
    if (worker == nullptr || a.empty()) return nullptr;
    address = &a;
    return worker;
  };
  if (same_node || (same_host && (between_nodes_ == NodeLink::kShm || between_nodes_ == NodeLink::kAuto))) {
    return use(shm_.get(), to.shm);
  }
  if (between_nodes_ == NodeLink::kUcx || between_nodes_ == NodeLink::kAuto) {
    if (transport::Worker* w = use(ucx_.get(), to.ucx)) return w;
    if (between_nodes_ == NodeLink::kUcx) return nullptr;
  }
  return use(sock_.get(), to.sock);
}

bool Links::open(Peer& peer) {
  const std::string* address = nullptr;
  transport::Worker* worker = worker_for(peer.address, address);
  if (worker == nullptr) {
    lose(peer, {base::Code::kUnavailable, "no link joins this process to worker " + peer.address.worker.short_hex() +
                                              " on " + peer.address.host + "; see MOBULA_NODE_LINK"});
    return false;
  }
  auto endpoint = worker->connect(*address);
  if (!endpoint) {
    lose(peer, endpoint.error());
    return false;
  }
  peer.endpoint = *endpoint;
  peer.endpoint->user = &peer;
  return true;
}

void Links::send(Peer& peer, Hot type, base::ConstBytes header, base::ConstBytes payload) {
  if (peer.lost) return;
  if (peer.endpoint == nullptr && !open(peer)) return;
  if (peer.backlog.empty()) {
    const auto sent = peer.endpoint->send(static_cast<std::uint16_t>(type), header, payload, nullptr);
    if (sent) return;
    if (sent.error().code != base::Code::kExhausted) {
      lose(peer, sent.error());
      return;
    }
  }
  if (peer.backlog_bytes + payload.size() > kBacklogBytesMax) {
    lose(peer, {base::Code::kExhausted, "more than 1 GiB of messages wait for worker " +
                                            peer.address.worker.short_hex() + ", which does not read"});
    return;
  }
  Peer::Waiting waiting{type, {}, {}};
  waiting.header.append(header);
  waiting.payload.append(payload);
  peer.backlog_bytes += payload.size();
  peer.backlog.push_back(std::move(waiting));
}

void Links::flush(Peer& peer) {
  while (!peer.lost && !peer.backlog.empty()) {
    Peer::Waiting& first = peer.backlog.front();
    const auto sent =
        peer.endpoint->send(static_cast<std::uint16_t>(first.type), first.header.view(), first.payload.view(), nullptr);
    if (!sent) {
      if (sent.error().code != base::Code::kExhausted) lose(peer, sent.error());
      return;
    }
    peer.backlog_bytes -= first.payload.size();
    peer.backlog.pop_front();
    if (peer.backlog.empty()) return handler_.writable(peer);
  }
}

void Links::lose(Peer& peer, const base::Error& why) {
  if (peer.lost) return;
  peer.lost = true;
  peer.why_lost = why;
  peer.backlog.clear();
  if (transport::Endpoint* endpoint = peer.endpoint) {
    peer.endpoint = nullptr;
    endpoint->user = nullptr;
    endpoint->close();
  }
  handler_.peer_lost(peer);
}

void Links::declare_lost(Peer& peer, const base::Error& why) { lose(peer, why); }

void Links::declare_node_lost(const base::NodeId& node, const base::Error& why) {
  std::vector<Peer*> gone;
  for (const auto& [id, peer] : peers_) {
    if (peer->address.node == node && !peer->lost) gone.push_back(peer.get());
  }
  for (Peer* peer : gone) lose(*peer, why);
}

std::size_t Links::progress_others() {
  std::size_t n = 0;
  if (sock_) n += sock_->progress();
  if (ucx_) n += ucx_->progress();
  return n;
}

bool Links::arm() {
  for (transport::Worker* w : {shm_.get(), sock_.get(), ucx_.get()}) {
    if (w == nullptr || w->arm()) continue;
    // UCX says so once: what woke it has been read from its descriptor, and only progress finds what that was.
    w->progress();
    return false;
  }
  return true;
}

std::vector<int> Links::event_fds() const {
  std::vector<int> fds;
  for (const transport::Worker* w : {shm_.get(), sock_.get(), ucx_.get()}) {
    if (w != nullptr) fds.push_back(w->event_fd());
  }
  return fds;
}

void Links::accepted(transport::Endpoint& endpoint) {
  auto& slot = peers_[endpoint.peer().id];
  if (slot == nullptr) {
    slot = std::make_unique<Peer>();
    slot->address.worker = endpoint.peer().id;
    slot->address.incarnation = endpoint.peer().incarnation;
  }
  // Ours, once chosen, stays: messages of one sender to one receiver keep their order.
  if (slot->endpoint == nullptr && !slot->lost) slot->endpoint = &endpoint;
  endpoint.user = slot.get();
}

void Links::message(transport::Endpoint& from, std::uint16_t type, base::ConstBytes header, base::ConstBytes payload) {
  auto* peer = static_cast<Peer*>(from.user);
  if (peer != nullptr) handler_.message(*peer, static_cast<Hot>(type), header, payload);
}

void Links::writable(transport::Endpoint& endpoint) {
  if (auto* peer = static_cast<Peer*>(endpoint.user)) flush(*peer);
}

void Links::lost(transport::Endpoint& endpoint, const base::Error& why) {
  auto* peer = static_cast<Peer*>(endpoint.user);
  if (peer == nullptr) return;
  if (peer->endpoint == &endpoint) peer->endpoint = nullptr;
  lose(*peer, why);
}

}  // namespace mobula::runtime
