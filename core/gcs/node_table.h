#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/topology.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"
#include "scheduler/actor_messages.h"
#include "scheduler/membership.h"
#include "scheduler/news_batch.h"

namespace mobula::gcs {

// The nodes of the cluster and their channels: runs the MembershipMachine, and publishes what it says when the
// NewsBatch says so.
class NodeTable {
 public:
  struct Events {
    // Before the node's registration is answered: what it must know first goes out here.
    std::function<void(const base::NodeId& node, rpc::Rpc& rpc)> joined;
    std::function<void(const scheduler::NodeView& view)> changed;
  };
  NodeTable(os::EventLoop& loop, Events events);
  ~NodeTable();
  NodeTable(const NodeTable&) = delete;
  NodeTable& operator=(const NodeTable&) = delete;

  // A raylet's channel said NODE_REGISTER.  `closed` when it ends is the caller's to tell.
  void enter(std::shared_ptr<rpc::Rpc> rpc, const proto::NodeRegister& request, const rpc::Responder& responder);
  void closed(const base::NodeId& node, const rpc::Rpc* rpc);
  void labelled(const scheduler::NodeActors& labels);
  void left(const base::NodeId& node, const std::string& why);  // In order.
  void heartbeat(const proto::Heartbeat& beat, const rpc::Responder& responder);

  rpc::Rpc* channel(const base::NodeId& node) const;  // Null when it has none.
  template <class Visit>
  void each_channel(Visit visit) const {
    for (const auto& [id, node] : nodes_) {
      if (node.rpc != nullptr) visit(id, *node.rpc);
    }
  }
  proto::ClusterView view(std::uint64_t since) const;
  const base::Topology* topology(const base::NodeId& node) const;     // Null for a node that is not known.
  const proto::Heartbeat* last_beat(const base::NodeId& node) const;  // As above.

 private:
  struct Node {
    std::shared_ptr<rpc::Rpc> rpc;
    std::uint64_t incarnation = 0;
    rpc::Responder registering;
    proto::Heartbeat last;
    base::Topology topology;
  };
  void step(scheduler::MembershipInput input);
  void apply(base::Outbox<scheduler::MembershipOutput>& outputs);
  void accept(const scheduler::NodeAccepted& output);
  void fence(const scheduler::NodeFenced& output);
  void publish(base::Outbox<scheduler::NewsOutput>& due);
  proto::NodeInfo info(const scheduler::NodeChanged& change) const;
  void arm();

  os::EventLoop& loop_;
  const Events events_;
  scheduler::MembershipMachine machine_;
  scheduler::NewsBatch batch_{scheduler::NewsLimits{}};
  std::vector<scheduler::NodeChanged> news_;  // Not told yet, oldest first.
  std::map<base::NodeId, Node> nodes_;
  os::EventLoop::Id timer_ = 0;
};

}  // namespace mobula::gcs
