#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// The other nodes: what the GCS says of them, and a channel to each that is spoken to.  A channel is made at the first
// message and again after it broke; each side speaks on the channel that it made itself, so that order holds.
class Peers {
 public:
  struct Self {
    base::NodeId node;
    std::uint64_t incarnation = 0;
    std::string host_key;
    transport::ChannelOptions channel;
    proto::PeerHello hello;
  };
  struct Events {
    std::function<void(const base::NodeId& peer, const proto::PeerLease&)> lease;
    std::function<void(const proto::NodeInfo& peer)> dead;  // Once for each incarnation.
    std::function<void(const proto::PeerHello&)> hello;     // What the peer offers for data; before any other message.
    // Serves what other parts answer (PEER_READ, ...) on a channel that the peer made.
    std::function<void(const base::NodeId& peer, rpc::Rpc&)> serve;
    std::function<const proto::JobInfo*(const base::JobId&)> job;  // What the peer needs to start its workers.
    std::function<void(const proto::JobInfo&)> job_heard;          // From a peer, with its first demand.
  };
  Peers(os::EventLoop& loop, Self self, Events events)
      : loop_(loop), self_(std::move(self)), events_(std::move(events)) {}

  void update(const proto::ClusterView& view);
  void set_hello(const proto::PeerHello& hello) { self_.hello = hello; }  // Before the first message.
  // A channel that came in and said PEER_HELLO.  Fails the responder for the dead and the stale.
  void accept(std::unique_ptr<rpc::Rpc> rpc, proto::PeerHello hello, const rpc::Responder& responder);

  void send_lease(const base::NodeId& peer, proto::PeerLease&& message);  // Dropped when it cannot be reached.
  // The channel to a live peer, made when there is none; null when it is not known or dead.
  rpc::Rpc* channel(const base::NodeId& peer);

  const proto::NodeInfo* find(const base::NodeId& node) const;
  std::optional<base::NodeId> resolve(const std::string& node) const;  // Hex id, prefix of one, node or host name.
  std::string name_of(const base::NodeId& node) const;
  const std::map<base::NodeId, proto::NodeInfo>& nodes() const { return nodes_; }
  std::uint64_t version() const { return version_; }

 private:
  struct Outgoing {
    std::unique_ptr<rpc::Rpc> rpc;
    std::set<base::JobId> jobs_told;
  };
  Outgoing* open(const base::NodeId& peer);

  os::EventLoop& loop_;
  Self self_;
  const Events events_;
  std::map<base::NodeId, proto::NodeInfo> nodes_;
  std::map<base::NodeId, Outgoing> outgoing_;
  std::map<std::uint64_t, std::unique_ptr<rpc::Rpc>> incoming_;
  std::uint64_t next_incoming_ = 1;
  std::uint64_t version_ = 0;
};

}  // namespace mobula::raylet
