#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"
#include "core/base/timers.h"
#include "scheduler/node_index.h"
#include "scheduler/strategy.h"

namespace mobula::scheduler {

// kSuspect nodes get no new work; kDead ones are fenced.
enum class NodeState : std::uint8_t { kAlive = 1, kSuspect = 2, kDead = 3 };

// What is known of one node.  Published by the GCS; input of each machine that places work.
struct NodeView {
  base::NodeId node;
  // Grows with each change of this node; older views are ignored.  A newer one of a dead node is a new life.
  std::uint64_t version = 0;
  NodeState state = NodeState::kAlive;
  std::string address;  // Opaque here.
  base::Resources total;
  base::Resources available;
  Labels labels;
  ActorLabels actors{};  // Of the actors that live there, or are being started.
};

// Where the bundles of a placement group may be used.  Published by the GCS to whoever places work in it.
struct GroupNews {
  base::PlacementGroupId group;
  std::uint64_t version = 0;  // Older ones are ignored.
  std::map<std::uint32_t, base::NodeId> places;
  bool over = false;                      // For good.
  std::string why;                        // Of one that is over.
  std::vector<base::Resources> shapes{};  // Of its bundles; empty: not known.
};

// Why nothing in the cluster could ever serve a shape.
struct Infeasible {
  std::string missing;  // "gpus=4 wanted, gpus=1 there", "zone in(a) wanted, \"b\" there"; one sentence.
  std::optional<base::NodeId> nearest;  // The node that lacks least; none when nothing lives.
  base::Resources nearest_total;
};

// The nodes as this process believes them to be, and the choice among them.
//
// Between two views of a node assume() takes off what was just asked of it and refused() leaves it alone for a
// moment.  Both wear off: a node whose availability is the same again publishes nothing, and must not be
// thought full for ever.  Ordered, so that each choice repeats.
class ClusterView {
 public:
  struct Limits {
    std::size_t nodes_max = 20'000;                               // Further nodes are not believed in.
    std::size_t groups_over_max = 4'096;                          // Placement groups that are over, remembered.
    std::size_t dead_max = 4'096;                                 // Remembered, so that late views revive nobody.
    base::Duration refused_for = std::chrono::milliseconds(20);   // Not asked again so long after a refusal.
    base::Duration assumed_for = std::chrono::milliseconds(100);  // What was asked of it is taken off so long.
  };
  explicit ClusterView(Limits limits) : limits_(limits) {}

  // True when the view was newer than what was known.
  bool apply(const NodeView& view);
  const NodeView* find(const base::NodeId& node) const;  // Dead nodes are not found.
  bool is_dead(const base::NodeId& node) const { return dead_.contains(node); }
  const std::map<base::NodeId, NodeView>& nodes() const { return nodes_; }

  // Counts what infeasible() depends on: nodes, their totals and labels.
  std::uint64_t shape_version() const { return shape_version_; }

  // True when it was newer than what was known.
  bool apply(const GroupNews& news);
  bool knows(const base::PlacementGroupId& group) const { return groups_.contains(group); }

  void assume(base::Time now, const base::NodeId& node, const base::Resources& taken);
  void refused(base::Time now, const base::NodeId& node);
  void set_available(const base::NodeId& node, const base::Resources& available);  // Of this node itself.
  void set_actors(const base::NodeId& node, const ActorLabels& actors);

  // The node to ask for `shape` now, or none when none seems to have room.  Among equals the next one
  // after `home` wins, so that different homes ask different nodes; `skip` is never returned.
  struct Wish {
    const base::Resources& shape;
    const Strategy& strategy;
    base::NodeId home;
    std::optional<base::NodeId> skip;
    const std::set<base::NodeId>* avoid = nullptr;  // As `skip`, many; a soft affinity to one of them is none.
  };
  std::optional<base::NodeId> pick(base::Time now, const Wish& wish);
  // A node that could serve the shape if it were empty: asking it though it looks full makes it recall leases.
  // The one that refused longest ago.
  std::optional<base::NodeId> probe(base::Time now, const Wish& wish) const;
  bool could_take(base::Time now, const NodeView& view, const Wish& wish) const;
  // When the first of these wears off; none when nothing does.
  std::optional<base::Time> next_retry(base::Time now);

  // None when some node that is not dead could serve the shape when empty.
  std::optional<Infeasible> infeasible(const base::Resources& shape, const Strategy& strategy) const;
  // What keeps a wish that could be served from being served now; `nearest` lacks least.
  Infeasible shortage_now(base::Time now, const Wish& wish) const;

 private:
  std::optional<Infeasible> infeasible_bundle(const base::Resources& shape, const Strategy& strategy) const;
  base::Resources room(base::Time now, const NodeView& view) const;
  std::optional<base::NodeId> pick_among_all(base::Time now, const Wish& wish) const;
  void wear_off(base::Time now);
  void reindex(base::Time now, const base::NodeId& node);
  bool has_bundle(const base::NodeId& node, const BundleRef& bundle) const;

  const Limits limits_;
  std::uint64_t shape_version_ = 1;
  std::map<base::NodeId, NodeView> nodes_;                                  // Alive and suspect.
  std::map<base::NodeId, base::Time> refused_;                              // When each said no; a subset of nodes_.
  std::map<base::NodeId, std::pair<base::Time, base::Resources>> assumed_;  // The last time, and all of it; a subset.
  NodeIndex index_;  // Of the alive ones with cpus free that have not just refused.
  base::Timers<base::NodeId> wears_off_;
  base::Time now_{};
  std::map<base::NodeId, std::uint64_t> dead_;  // Version of its death.
  std::map<base::PlacementGroupId, GroupNews> groups_;
  std::deque<base::PlacementGroupId> groups_over_;  // Oldest first.
};

}  // namespace mobula::scheduler
