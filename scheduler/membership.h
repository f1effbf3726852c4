#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"
#include "core/base/timers.h"
#include "scheduler/cluster_view.h"

namespace mobula::scheduler {

// What the GCS tells the machine.  An incarnation numbers the lives of one node id, from 1 upward.
struct NodeRegistered {  // Also when a node connects again.
  base::NodeId node;
  std::uint64_t incarnation = 0;
  std::string address;
  base::Resources total;
  Labels labels;
};
struct NodeHeartbeat {
  base::NodeId node;
  std::uint64_t incarnation = 0;
  std::uint64_t version = 0;  // Of `available`, counted by the node; older values are ignored.
  base::Resources available;
};
struct NodeConnectionClosed {
  base::NodeId node;
  std::uint64_t incarnation = 0;
};
struct NodeExited {  // A pidfd, the launcher, or the node itself says so: there is nothing to wait for.
  base::NodeId node;
  std::uint64_t incarnation = 0;
  std::string why;
};
struct NodeLabelled {  // The labels of the actors that live there, whole.
  base::NodeId node;
  ActorLabels actors;
};
using MembershipInput = std::variant<NodeRegistered, NodeHeartbeat, NodeConnectionClosed, NodeExited, NodeLabelled>;

// What the machine asks of the GCS.
struct NodeAccepted {
  base::NodeId node;
  std::uint64_t incarnation = 0;
};
// To the node: this life of yours is over (or was never let in).  It must stop all work and exit.
struct NodeFenced {
  base::NodeId node;
  std::uint64_t incarnation = 0;
  std::string why;
};
// For everybody who watches nodes.  `view.version` counts all changes in the cluster.
struct NodeChanged {
  NodeView view;
  std::uint64_t incarnation = 0;
  std::string why;  // Of kSuspect and kDead.
};
using MembershipOutput = std::variant<NodeAccepted, NodeFenced, NodeChanged>;

struct MembershipLimits {
  base::Duration suspect_after = std::chrono::seconds(1);  // Without a heartbeat.
  base::Duration dead_after = std::chrono::seconds(5);
  base::Duration reconnect_grace = std::chrono::milliseconds(300);  // After its connection closed.
  base::Duration publish_every = std::chrono::milliseconds(20);     // Availability of one node; states go at once.
  base::Duration blackout = std::chrono::milliseconds(500);         // A gap between two of our own steps that was ours.
  std::size_t nodes_max = 20'000;
  std::size_t dead_max = 4'096;  // Dead nodes kept for listing and fencing; the oldest go first.
};

// Decides which nodes belong to the cluster and which are dead.
//
// A node is ALIVE while its heartbeats come, SUSPECT without them, DEAD after longer, or after its
// connection closed and nobody came back within the grace, or at once when its end is known.  DEAD is
// final for an incarnation: whatever it says later is answered with NodeFenced.  A higher
// incarnation ends a lower one first.  When this machine itself was not run for longer than
// `blackout`, the silence was ours and no node is charged for it.
//
// Versions: each NodeChanged has a version greater than all before; `changes_since` gives a reader
// that lost some of them the newest view of each node that changed.
//
// Invariant: at most one incarnation per node id is not DEAD.  nodes() <= nodes_max + dead_max.
// Not thread-safe; owned by the GCS's control loop.
class MembershipMachine {
 public:
  using Input = MembershipInput;
  using Output = MembershipOutput;

  explicit MembershipMachine(MembershipLimits limits);

  void step(base::Time now, MembershipInput input, base::Outbox<MembershipOutput>& out);
  void tick(base::Time now, base::Outbox<MembershipOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  std::uint64_t version() const { return version_; }
  std::vector<NodeChanged> changes_since(std::uint64_t version) const;  // Oldest first; since 0: all.
  const NodeView* find(const base::NodeId& node) const;                 // Dead ones too, while kept.

 private:
  struct Node {
    NodeView view;
    std::uint64_t incarnation = 0;
    std::string why;
    std::uint64_t heard_version = 0;       // Of the newest availability that was heard.
    base::Time heard_at{};                 // Last sign of life.
    std::optional<base::Time> closed_at;   // Its connection is closed since.
    std::optional<base::Time> publish_at;  // Availability waits to be published.
    base::Time published_at{};
  };

  void on(base::Time now, NodeRegistered&& event, base::Outbox<MembershipOutput>& out);
  void on(base::Time now, NodeHeartbeat&& event, base::Outbox<MembershipOutput>& out);
  void on(base::Time now, NodeConnectionClosed&& event, base::Outbox<MembershipOutput>& out);
  void on(base::Time now, NodeExited&& event, base::Outbox<MembershipOutput>& out);
  void on(base::Time now, NodeLabelled&& event, base::Outbox<MembershipOutput>& out);
  void forgive_blackout(base::Time now);
  void set_state(base::Time now, Node& node, NodeState state, std::string why, base::Outbox<MembershipOutput>& out);
  void publish(base::Time now, Node& node, base::Outbox<MembershipOutput>& out);
  void forget_oldest_dead();
  void check(base::Time now, Node& node, base::Outbox<MembershipOutput>& out);
  void arm(const Node& node);

  const MembershipLimits limits_;
  std::uint64_t version_ = 0;
  base::Time ran_at_{};
  std::map<base::NodeId, Node> nodes_;
  base::Timers<base::NodeId> timers_;           // Of those not dead.
  std::map<std::uint64_t, base::NodeId> dead_;  // By the version of their death.
};

}  // namespace mobula::scheduler
