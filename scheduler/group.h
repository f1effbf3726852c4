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
#include "core/base/request_window.h"
#include "core/base/timers.h"
#include "scheduler/group_messages.h"

namespace mobula::scheduler {

struct GroupLimits {
  std::size_t groups_max = 100'000;  // Not over.
  std::size_t bundles_max = 10'000;  // Of a group.
  std::size_t over_max = 20'000;     // Those that are over and still known; the oldest go first.
  std::size_t gone_owners_max = 4'096;
  std::uint64_t hold_window = 4'096;  // Unanswered requests to one node; the raylets' hold_window.
  base::Duration resend_every = std::chrono::milliseconds(500);
  base::Duration retry_first = std::chrono::milliseconds(100);  // After a refusal; then half as long again,
  base::Duration retry_max = std::chrono::seconds(1);           // up to this.
  base::Duration probe_after = std::chrono::milliseconds(200);  // Nodes that look full are asked then: they recall.
  base::Duration infeasible_grace{0};                           // As in LeaseLimits.
};

// Decides where the bundles of each placement group lie, and reserves them: all or none.
//
// place_group() finds a place; every node is asked in parallel to prepare its part; only when all have is any of them
// told to commit.  A refusal, or the death of a node before that, gives up the whole attempt and releases what was
// prepared.  After the decision to commit, a node's death loses only its own bundles: they are placed again, before
// groups that are new.  A hold that is not wanted any more is released until its node says so or is dead.
//
// What groups hold is known here exactly; what leases hold is known from the nodes' views and from refusals.
//
// Invariant: a bundle has at most one hold.  No hold of an attempt is committed before all of it are prepared.  The
// pieces that the nodes lack are those of all holds and of all releases that are not confirmed.
// Not thread-safe; owned by the GCS's control loop.
class GroupMachine {
 public:
  using Input = GroupInput;
  using Output = GroupOutput;

  // `origin` makes hold ids of this GCS distinct from all others'; the driver draws it at random.
  GroupMachine(std::uint64_t origin, GroupLimits limits);
  GroupMachine(const GroupMachine&) = delete;
  GroupMachine& operator=(const GroupMachine&) = delete;

  void step(base::Time now, GroupInput input, base::Outbox<GroupOutput>& out);
  void tick(base::Time now, base::Outbox<GroupOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  const GroupView* find(const base::PlacementGroupId& group) const;  // Those that are over too, while kept.
  std::optional<base::PlacementGroupId> named(const std::string& ns, const std::string& name) const;
  std::uint64_t version() const { return version_; }
  template <class Visit>
  void each(Visit visit) const {
    for (const auto& [id, group] : groups_) visit(group.view);
  }

 private:
  enum class HoldPhase : unsigned char { kPreparing = 1, kPrepared, kCommitting, kCommitted };
  struct Hold {
    base::PlacementGroupId group;
    base::NodeId node;
    HoldPhase phase = HoldPhase::kPreparing;
    std::uint64_t request = 0;  // Open while kPreparing.
    std::vector<HeldBundle> bundles;
  };
  struct Release {
    base::NodeId node;
    std::uint64_t request = 0;
    std::vector<HeldBundle> bundles;  // The node's until it is confirmed.
  };
  struct Group {
    GroupView view;
    std::set<base::LeaseId> holds;
    std::uint64_t ticket = 0;  // Its place in the line; 0: not in it.
    base::Time waits_since{};
    base::Duration backoff{0};
    base::Time retry_at{};
    bool was_created = false;
    base::NodeId owner_node;
    std::uint64_t feasible_checked = 0;
    std::optional<base::Time> infeasible_since;
  };
  using Out = base::Outbox<GroupOutput>;
  using Line = std::set<std::pair<int, std::uint64_t>>;  // 0: lost bundles, 1: new; then the ticket.

  void on(base::Time now, CreateGroup&& event, Out& out);
  void on(base::Time now, RemoveGroup&& event, Out& out);
  void on(base::Time now, GroupOwnerGone&& event, Out& out);
  void on(base::Time now, GroupJobEnded&& event, Out& out);
  void on(base::Time now, NodeTopology&& event, Out& out);
  void on(base::Time now, NodeView&& event, Out& out);
  void on(base::Time now, BundlesPrepared&& event, Out& out);
  void on(base::Time now, BundlesRefused&& event, Out& out);
  void on(base::Time now, BundlesCommitted&& event, Out& out);
  void on(base::Time now, BundlesReleased&& event, Out& out);

  void changed(Group& group, Out& out);
  void queue(base::Time now, Group& group);
  void leave_line(Group& group);
  void place_waiting(base::Time now, Out& out);
  bool place(base::Time now, Group& group, Out& out);
  std::optional<PlacementFailure> never(const Group& group) const;
  void begin_attempt(base::Time now, Group& group, const Placement& placement, Out& out);
  void give_up_attempt(base::Time now, Group& group, Out& out);
  void commit_if_prepared(base::Time now, Group& group, Out& out);
  void refresh_state(base::Time now, Group& group, Out& out);
  void end(base::Time now, Group& group, GroupState state, std::string why, Out& out);
  void drop_hold(base::Time now, const base::LeaseId& id, Out& out);  // And releases it.
  void resend(base::Time now, const base::LeaseId& id, Out& out);
  void node_dead(base::Time now, const base::NodeId& node, Out& out);
  PlacementNode* node(const base::NodeId& node);
  void index_nodes();
  void take(PlacementNode& node, const std::vector<HeldBundle>& bundles);
  void give_back(const base::NodeId& node, const std::vector<HeldBundle>& bundles);
  void recount(PlacementNode& node);  // Its pieces, from all holds and releases.
  std::vector<std::uint32_t> unplaced(const Group& group) const;
  std::vector<PlacedBundle> held_by(const Group& group) const;
  base::RequestSender& sender(const base::NodeId& node);
  void trim_over();

  const std::uint64_t origin_;
  const GroupLimits limits_;
  std::uint64_t version_ = 0, next_hold_ = 1, next_ticket_ = 1, shape_version_ = 1;
  std::map<base::PlacementGroupId, Group> groups_;
  std::map<std::uint64_t, base::PlacementGroupId> over_;  // By the version of their end.
  std::map<std::pair<std::string, std::string>, base::PlacementGroupId> names_;
  std::map<base::WorkerId, std::set<base::PlacementGroupId>> by_owner_;  // Owned and not over.
  std::set<base::WorkerId> gone_owners_;
  std::deque<base::WorkerId> gone_order_;
  std::map<base::LeaseId, Hold> holds_;
  std::map<base::LeaseId, Release> releases_;  // Not yet confirmed.
  base::Timers<base::LeaseId> timers_;         // Of both.
  Line line_;
  std::map<std::uint64_t, base::PlacementGroupId> tickets_;
  std::optional<base::Time> place_at_;

  std::vector<PlacementNode> nodes_;                     // Sorted by network_before().
  std::map<base::NodeId, std::size_t> positions_;        // In nodes_.
  std::map<base::NodeId, std::uint64_t> node_versions_;  // The dead too, so that late views revive nobody.
  std::set<base::NodeId> dead_nodes_;
  std::map<base::NodeId, base::Topology> topologies_;  // What the nodes' rooms are made of: changed in place only.
  std::map<base::NodeId, base::Resources> held_;       // By holds and releases of each node.
  std::set<base::NodeId> limited_;                     // Whose last refusal took away pieces that others hold.
  std::map<base::NodeId, base::RequestSender> senders_;
};

}  // namespace mobula::scheduler
