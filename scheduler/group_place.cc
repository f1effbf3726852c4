// Nodes, attempts and lost bundles of placement groups.

#include <algorithm>
#include <cassert>
#include <utility>

#include "scheduler/group.h"
#include "scheduler/planted.h"

namespace mobula::scheduler {
namespace {

base::Resources lesser(const base::Resources& a, const base::Resources& b) {
  base::Resources out;
  for (const auto& [name, amount] : a.all()) out.set(name, std::min(amount, b.get(name)));
  return out;
}

}  // namespace

// ---- nodes

void GroupMachine::on(base::Time, NodeTopology&& e, Out&) {
  topologies_[e.node] = std::move(e.topology);
  PlacementNode* known = node(e.node);
  if (known == nullptr) return;
  base::Resources room = known->room.room();
  recount(*known);
  known->room.set_room(std::move(room));
}

void GroupMachine::on(base::Time now, NodeView&& e, Out& out) {
  std::uint64_t& version = node_versions_[e.node];
  if (e.version <= version) return;
  version = e.version;
  if (e.state == NodeState::kDead) return node_dead(now, e.node, out);
  dead_nodes_.erase(e.node);
  PlacementNode* known = node(e.node);
  if (known == nullptr || known->room.total() != e.total || known->labels != e.labels) {
    ++shape_version_;
    std::erase_if(nodes_, [&](const PlacementNode& n) { return n.room.node() == e.node; });
    PlacementNode fresh{NodeRoom(e.node, topologies_[e.node], e.total), e.labels, true};
    recount(fresh);
    nodes_.insert(std::upper_bound(nodes_.begin(), nodes_.end(), fresh, network_before), std::move(fresh));
    index_nodes();
    known = node(e.node);
  } else if (limited_.erase(e.node) != 0) {
    recount(*known);
  }
  known->usable = e.state == NodeState::kAlive;
  base::Resources free = known->room.total();
  free.subtract(held_[e.node]);
  known->room.set_room(lesser(free, e.available));
  if (!line_.empty()) place_at_ = base::earlier(place_at_, now);
}

void GroupMachine::node_dead(base::Time now, const base::NodeId& dead, Out& out) {
  if (!dead_nodes_.insert(dead).second) return;
  ++shape_version_;
  std::erase_if(nodes_, [&](const PlacementNode& n) { return n.room.node() == dead; });
  index_nodes();
  topologies_.erase(dead);
  held_.erase(dead);
  limited_.erase(dead);
  senders_.erase(dead);
  std::erase_if(releases_, [&](const auto& r) {
    if (r.second.node == dead) timers_.clear(r.first);
    return r.second.node == dead;
  });
  std::vector<base::LeaseId> lost;
  for (const auto& [id, hold] : holds_) {
    if (hold.node == dead) lost.push_back(id);
  }
  std::set<base::PlacementGroupId> hit;
  std::set<base::PlacementGroupId> undecided;
  for (const base::LeaseId& id : lost) {
    const auto it = holds_.find(id);
    Group& group = groups_.at(it->second.group);
    const bool open = it->second.phase == HoldPhase::kPreparing || it->second.phase == HoldPhase::kPrepared;
    (open ? undecided : hit).insert(it->second.group);
    timers_.clear(id);
    group.holds.erase(id);
    holds_.erase(it);
  }
  for (const auto& id : undecided) give_up_attempt(now, groups_.at(id), out);
  for (const auto& id : hit) {
    Group& group = groups_.at(id);
    group.view.why = "node " + dead.short_hex() + " died";
    queue(now, group);
    refresh_state(now, group, out);
  }
  place_at_ = base::Time::min();
  std::vector<base::PlacementGroupId> orphans;
  for (const auto& [id, group] : groups_) {
    const bool owned = group.view.lifetime == ActorLifetime::kOwned && !group.view.is_over();
    if (owned && !dead.is_nil() && group.owner_node == dead) orphans.push_back(id);
  }
  for (const auto& id : orphans) {
    end(now, groups_.at(id), GroupState::kRemoved, "its owner is gone: node " + dead.short_hex() + " died", out);
  }
}

PlacementNode* GroupMachine::node(const base::NodeId& id) {
  const auto it = positions_.find(id);
  return it == positions_.end() ? nullptr : &nodes_[it->second];
}

void GroupMachine::index_nodes() {
  positions_.clear();
  for (std::size_t n = 0; n < nodes_.size(); ++n) positions_[nodes_[n].room.node()] = n;
}

void GroupMachine::take(PlacementNode& n, const std::vector<HeldBundle>& bundles) {
  for (const HeldBundle& b : bundles) {
    n.room.take(b.shape, b.pieces);
    held_[n.room.node()].add(b.shape);
  }
}

void GroupMachine::give_back(const base::NodeId& id, const std::vector<HeldBundle>& bundles) {
  const auto held = held_.find(id);
  if (held == held_.end()) return;  // It is dead.
  PlacementNode* n = node(id);
  for (const HeldBundle& b : bundles) {
    held->second.subtract(b.shape);
    if (n != nullptr) n->room.give_back(b.shape, b.pieces);
  }
}

void GroupMachine::recount(PlacementNode& n) {
  n.room = NodeRoom(n.room.node(), topologies_.at(n.room.node()), n.room.total());
  const auto visit = [&](const base::NodeId& id, const std::vector<HeldBundle>& bundles) {
    if (id != n.room.node()) return;
    for (const HeldBundle& b : bundles) n.room.take_pieces(b.pieces);
  };
  for (const auto& [id, hold] : holds_) visit(hold.node, hold.bundles);
  for (const auto& [id, release] : releases_) visit(release.node, release.bundles);
}

// ---- the line

void GroupMachine::queue(base::Time now, Group& group) {
  if (group.ticket != 0) leave_line(group);
  group.ticket = next_ticket_++;
  group.waits_since = now;
  group.backoff = base::Duration{0};
  group.retry_at = now;
  tickets_.emplace(group.ticket, group.view.group);
  line_.emplace(group.was_created ? 0 : 1, group.ticket);
  place_at_ = base::Time::min();
}

void GroupMachine::leave_line(Group& group) {
  if (group.ticket == 0) return;
  line_.erase({group.was_created ? 0 : 1, group.ticket});
  tickets_.erase(group.ticket);
  group.ticket = 0;
}

// Those with lost bundles first, then the oldest.  What does not fit waits and does not hold up those behind it.
void GroupMachine::place_waiting(base::Time now, Out& out) {
  if (!place_at_ || *place_at_ > now) return;
  place_at_.reset();
  const Line line = line_;
  for (const auto& place_in_line : line) {
    const auto id = tickets_.find(place_in_line.second);
    if (id == tickets_.end()) continue;
    Group& group = groups_.at(id->second);
    if (group.retry_at > now) {
      place_at_ = base::earlier(place_at_, group.retry_at);
    } else if (!place(now, group, out) && group.ticket != 0) {
      place_at_ = base::earlier(place_at_, now + limits_.probe_after);
    }
  }
}

// True when it has left the line.
bool GroupMachine::place(base::Time now, Group& group, Out& out) {
  const std::vector<std::uint32_t> bundles = unplaced(group);
  const std::vector<PlacedBundle> held = held_by(group);
  Placement placement = place_group(group.view.wish, bundles, held, nodes_);
  if (placement.failure) {
    group.view.why = placement.failure->what;
    group.view.nearest = placement.failure->nearest;
    if (!group.was_created) {
      if (const auto never_ever = never(group)) {
        if (!group.infeasible_since) group.infeasible_since = now;
        const base::Time until = *group.infeasible_since + limits_.infeasible_grace;
        if (until > now) {
          place_at_ = base::earlier(place_at_, until);
          return false;
        }
        group.view.nearest = never_ever->nearest;
        end(now, group, GroupState::kInfeasible, never_ever->what, out);
        return true;
      }
      group.infeasible_since.reset();
    }
    if (group.waits_since + limits_.probe_after > now) return false;
    // Leases may fill the nodes: ask all the same where only groups count, so that the nodes recall them.
    std::vector<PlacementNode> emptied = nodes_;
    for (PlacementNode& n : emptied) {
      base::Resources free = n.room.total();
      if (const auto h = held_.find(n.room.node()); h != held_.end()) free.subtract(h->second);
      recount(n);
      n.room.set_room(std::move(free));
    }
    placement = place_group(group.view.wish, bundles, held, emptied);
    if (placement.failure) return false;
  }
  std::map<base::NodeId, std::size_t> asked;
  for (const PlacedBundle& b : placement.bundles) ++asked[b.node];
  for (const auto& [id, count] : asked) {
    if (!sender(id).has_room()) return false;
  }
  leave_line(group);
  begin_attempt(now, group, placement, out);
  return true;
}

// Whether it could not be placed if all nodes were empty.
std::optional<PlacementFailure> GroupMachine::never(const Group& group) const {
  std::vector<PlacementNode> empty = nodes_;
  for (PlacementNode& n : empty) {
    n.room = NodeRoom(n.room.node(), topologies_.at(n.room.node()), n.room.total());
    n.usable = true;
  }
  std::vector<std::uint32_t> all(group.view.wish.bundles.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
  return place_group(group.view.wish, all, {}, empty).failure;
}

// ---- attempts

void GroupMachine::begin_attempt(base::Time now, Group& group, const Placement& placement, Out& out) {
  std::map<base::NodeId, std::vector<HeldBundle>> by_node;
  for (const PlacedBundle& b : placement.bundles) {
    by_node[b.node].push_back({b.bundle, group.view.wish.bundles[b.bundle], b.pieces});
  }
  for (auto& [id, bundles] : by_node) {
    const auto hold_id = base::LeaseId::from_words(origin_, ~origin_, next_hold_++, 2);
    take(*node(id), bundles);
    holds_[hold_id] = {group.view.group, id, HoldPhase::kPreparing, sender(id).issue(), std::move(bundles)};
    group.holds.insert(hold_id);
    resend(now, hold_id, out);
  }
}

void GroupMachine::give_up_attempt(base::Time now, Group& group, Out& out) {
  std::vector<base::LeaseId> open;
  for (const base::LeaseId& id : group.holds) {
    const HoldPhase phase = holds_.at(id).phase;
    if (phase == HoldPhase::kPreparing || phase == HoldPhase::kPrepared) open.push_back(id);
  }
  for (const base::LeaseId& id : open) drop_hold(now, id, out);
  const base::Time since = group.waits_since;
  const base::Duration backoff =
      group.backoff.count() == 0 ? limits_.retry_first : std::min(group.backoff * 3 / 2, limits_.retry_max);
  queue(now, group);
  group.waits_since = since;
  group.backoff = backoff;
  group.retry_at = now + backoff;
}

void GroupMachine::commit_if_prepared(base::Time now, Group& group, Out& out) {
  std::vector<base::LeaseId> ready;
  for (const base::LeaseId& id : group.holds) {
    const HoldPhase phase = holds_.at(id).phase;
    if (phase == HoldPhase::kPreparing && !planted(Mistake::kHalfCommitted)) return;
    if (phase == HoldPhase::kPrepared) ready.push_back(id);
  }
  for (const base::LeaseId& id : ready) {
    holds_.at(id).phase = HoldPhase::kCommitting;
    resend(now, id, out);
  }
}

// What the holds amount to, as users see it.
void GroupMachine::refresh_state(base::Time, Group& group, Out& out) {
  std::vector<PlacedBundle> usable;
  bool all = unplaced(group).empty() || planted(Mistake::kHalfCommitted);
  for (const base::LeaseId& id : group.holds) {
    const Hold& hold = holds_.at(id);
    if (hold.phase != HoldPhase::kCommitted) {
      all = all && planted(Mistake::kHalfCommitted);
      continue;
    }
    for (const HeldBundle& b : hold.bundles) usable.push_back({b.index, hold.node, b.pieces});
  }
  std::sort(usable.begin(), usable.end(),
            [](const PlacedBundle& a, const PlacedBundle& b) { return a.bundle < b.bundle; });
  GroupState state = GroupState::kPending;
  if (all) {
    state = GroupState::kCreated;
  } else if (group.was_created) {
    state = GroupState::kRescheduling;
  }
  // Before all are there for the first time nothing of a group is shown: it is all or none.
  if (state == GroupState::kPending) return;
  if (state == group.view.state && usable == group.view.placed) return;
  if (state == GroupState::kCreated) {
    if (!group.was_created) {
      leave_line(group);  // It stands in none; the order of its line depends on was_created.
      group.was_created = true;
    }
    group.view.why.clear();
    group.view.nearest.reset();
  }
  group.view.state = state;
  group.view.placed = std::move(usable);
  changed(group, out);
}

std::vector<std::uint32_t> GroupMachine::unplaced(const Group& group) const {
  std::vector<bool> held(group.view.wish.bundles.size(), false);
  for (const base::LeaseId& id : group.holds) {
    for (const HeldBundle& b : holds_.at(id).bundles) held[b.index] = true;
  }
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < held.size(); ++i) {
    if (!held[i]) out.push_back(i);
  }
  return out;
}

std::vector<PlacedBundle> GroupMachine::held_by(const Group& group) const {
  std::vector<PlacedBundle> out;
  for (const base::LeaseId& id : group.holds) {
    const Hold& hold = holds_.at(id);
    for (const HeldBundle& b : hold.bundles) out.push_back({b.index, hold.node, b.pieces});
  }
  return out;
}

}  // namespace mobula::scheduler
