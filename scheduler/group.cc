#include "scheduler/group.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "scheduler/planted.h"

namespace mobula::scheduler {

GroupMachine::GroupMachine(std::uint64_t origin, GroupLimits limits) : origin_(origin), limits_(limits) {
  assert(limits.groups_max > 0 && limits.hold_window > 0);
}

void GroupMachine::step(base::Time now, GroupInput input, base::Outbox<GroupOutput>& out) {
  std::visit([&](auto&& event) { on(now, std::move(event), out); }, std::move(input));
  tick(now, out);
}

void GroupMachine::tick(base::Time now, base::Outbox<GroupOutput>& out) {
  while (const auto id = timers_.pop_due(now)) resend(now, *id, out);
  place_waiting(now, out);
  trim_over();
}

std::optional<base::Time> GroupMachine::next_deadline() const { return base::earlier(timers_.next(), place_at_); }

const GroupView* GroupMachine::find(const base::PlacementGroupId& group) const {
  const auto it = groups_.find(group);
  return it == groups_.end() ? nullptr : &it->second.view;
}

std::optional<base::PlacementGroupId> GroupMachine::named(const std::string& ns, const std::string& name) const {
  const auto it = names_.find({ns, name});
  return it == names_.end() ? std::nullopt : std::optional(it->second);
}

bool GroupMachine::is_valid() const {
  std::map<base::NodeId, base::Resources> held;
  for (const auto& [id, hold] : holds_) {
    const auto group = groups_.find(hold.group);
    if (group == groups_.end() || !group->second.holds.contains(id)) return false;
    for (const HeldBundle& b : hold.bundles) held[hold.node].add(b.shape);
  }
  for (const auto& [id, release] : releases_) {
    if (holds_.contains(id)) return false;
    for (const HeldBundle& b : release.bundles) held[release.node].add(b.shape);
  }
  for (const auto& [node, amounts] : held_) {
    if (amounts != held[node]) return false;
  }
  for (const auto& [id, group] : groups_) {
    std::set<std::uint32_t> bundles;
    bool preparing = false, committing = false;
    for (const base::LeaseId& hold : group.holds) {
      const Hold& h = holds_.at(hold);
      preparing = preparing || h.phase == HoldPhase::kPreparing;
      committing = committing || h.phase == HoldPhase::kPrepared;
      for (const HeldBundle& b : h.bundles) {
        if (!bundles.insert(b.index).second) return false;
      }
    }
    if (committing && !preparing) return false;  // All prepared: they would have been told to commit.
    if (group.view.is_over() && (!group.holds.empty() || group.ticket != 0)) return false;
    if (group.view.state == GroupState::kCreated && bundles.size() != group.view.wish.bundles.size()) return false;
  }
  return tickets_.size() == line_.size();
}

void GroupMachine::on(base::Time now, CreateGroup&& e, Out& out) {
  if (groups_.contains(e.group)) {
    out.emplace_back(GroupRegistered{e.request, e.group});
    return;
  }
  const auto refuse = [&](std::string why) { out.emplace_back(GroupRefused{e.request, e.group, std::move(why)}); };
  const bool owned = e.lifetime == ActorLifetime::kOwned;
  if (e.wish.bundles.empty()) return refuse("a placement group has at least one bundle");
  if (e.wish.bundles.size() > limits_.bundles_max) {
    return refuse("a placement group has at most " + std::to_string(limits_.bundles_max) + " bundles, not " +
                  std::to_string(e.wish.bundles.size()));
  }
  if (!e.name.empty() && named(e.ns, e.name)) {
    return refuse("the name '" + e.name + "' is taken in namespace '" + e.ns + "'");
  }
  if (owned && gone_owners_.contains(e.owner)) return refuse("its owner is gone");
  if (groups_.size() - over_.size() >= limits_.groups_max) {
    return refuse("the cluster has " + std::to_string(limits_.groups_max) + " placement groups, its limit");
  }
  Group& group = groups_[e.group];
  GroupView& view = group.view;
  view.group = e.group;
  view.job = e.job;
  view.owner = e.owner;
  group.owner_node = e.owner_node;
  view.name = std::move(e.name);
  view.ns = std::move(e.ns);
  view.lifetime = e.lifetime;
  view.wish = std::move(e.wish);
  if (!view.name.empty()) names_.emplace(std::pair(view.ns, view.name), view.group);
  if (owned) by_owner_[view.owner].insert(view.group);
  out.emplace_back(GroupRegistered{e.request, e.group});
  changed(group, out);
  queue(now, group);
}

void GroupMachine::on(base::Time now, RemoveGroup&& e, Out& out) {
  const auto it = groups_.find(e.group);
  if (it != groups_.end()) end(now, it->second, GroupState::kRemoved, "it was removed", out);
}

void GroupMachine::on(base::Time now, GroupOwnerGone&& e, Out& out) {
  if (gone_owners_.insert(e.owner).second) gone_order_.push_back(e.owner);
  if (gone_owners_.size() > limits_.gone_owners_max) {
    gone_owners_.erase(gone_order_.front());
    gone_order_.pop_front();
  }
  const auto it = by_owner_.find(e.owner);
  if (it == by_owner_.end()) return;
  for (const auto& id : std::vector(it->second.begin(), it->second.end())) {
    end(now, groups_.at(id), GroupState::kRemoved, "its owner is gone", out);
  }
}

void GroupMachine::on(base::Time now, GroupJobEnded&& e, Out& out) {
  std::vector<base::PlacementGroupId> ended;
  for (const auto& [id, group] : groups_) {
    const GroupView& view = group.view;
    if (view.job == e.job && view.lifetime == ActorLifetime::kOwned && !view.is_over()) ended.push_back(id);
  }
  for (const auto& id : ended) end(now, groups_.at(id), GroupState::kRemoved, "its job has ended", out);
}

void GroupMachine::on(base::Time now, BundlesPrepared&& e, Out& out) {
  const auto it = holds_.find(e.hold);
  if (it == holds_.end() || it->second.node != e.node || it->second.phase != HoldPhase::kPreparing) return;
  Hold& hold = it->second;
  sender(hold.node).answered(std::exchange(hold.request, 0));
  hold.phase = HoldPhase::kPrepared;
  timers_.clear(e.hold);
  commit_if_prepared(now, groups_.at(hold.group), out);
}

void GroupMachine::on(base::Time now, BundlesRefused&& e, Out& out) {
  const auto it = holds_.find(e.hold);
  if (it == holds_.end() || it->second.node != e.node || it->second.phase != HoldPhase::kPreparing) return;
  Group& group = groups_.at(it->second.group);
  // It holds nothing: no release is needed.
  sender(e.node).answered(it->second.request);
  timers_.clear(e.hold);
  give_back(e.node, it->second.bundles);
  group.holds.erase(e.hold);
  holds_.erase(it);
  if (PlacementNode* n = node(e.node)) {
    n->room.set_room(e.available);
    n->room.limit(e.free_pus, e.gpu_room);
    limited_.insert(e.node);
  }
  give_up_attempt(now, group, out);
  group.view.why = e.why;
}

void GroupMachine::on(base::Time now, BundlesCommitted&& e, Out& out) {
  const auto it = holds_.find(e.hold);
  if (it == holds_.end() || it->second.node != e.node || it->second.phase != HoldPhase::kCommitting) return;
  it->second.phase = HoldPhase::kCommitted;
  timers_.clear(e.hold);
  refresh_state(now, groups_.at(it->second.group), out);
}

void GroupMachine::on(base::Time, BundlesReleased&& e, Out&) {
  const auto it = releases_.find(e.hold);
  if (it == releases_.end() || it->second.node != e.node) return;
  if (it->second.request != 0) sender(e.node).answered(it->second.request);
  timers_.clear(e.hold);
  const Release release = std::move(it->second);
  releases_.erase(it);
  give_back(release.node, release.bundles);
  if (!line_.empty()) place_at_ = base::Time::min();
}

void GroupMachine::changed(Group& group, Out& out) {
  group.view.version = ++version_;
  out.emplace_back(GroupChanged{group.view});
}

void GroupMachine::end(base::Time now, Group& group, GroupState state, std::string why, Out& out) {
  GroupView& view = group.view;
  if (view.is_over()) return;
  leave_line(group);
  for (const base::LeaseId& hold : std::vector(group.holds.begin(), group.holds.end())) drop_hold(now, hold, out);
  if (!view.name.empty()) names_.erase({view.ns, view.name});
  if (const auto it = by_owner_.find(view.owner); it != by_owner_.end()) {
    it->second.erase(view.group);
    if (it->second.empty()) by_owner_.erase(it);
  }
  view.state = state;
  view.why = std::move(why);
  view.placed.clear();
  changed(group, out);
  over_.emplace(view.version, view.group);
}

void GroupMachine::drop_hold(base::Time now, const base::LeaseId& id, Out& out) {
  const auto it = holds_.find(id);
  Hold hold = std::move(it->second);
  holds_.erase(it);
  groups_.at(hold.group).holds.erase(id);
  const bool open = hold.phase == HoldPhase::kPreparing || hold.phase == HoldPhase::kPrepared;
  if (open && planted(Mistake::kAttemptNotReleased)) return;
  releases_[id] = {hold.node, hold.request, std::move(hold.bundles)};
  resend(now, id, out);
}

// Says again what has not been answered.
void GroupMachine::resend(base::Time now, const base::LeaseId& id, Out& out) {
  if (const auto it = releases_.find(id); it != releases_.end()) {
    out.emplace_back(ReleaseBundles{it->second.node, it->second.request, sender(it->second.node).floor(), id});
  } else if (const auto hold = holds_.find(id); hold != holds_.end()) {
    const Hold& h = hold->second;
    if (h.phase == HoldPhase::kPreparing) {
      out.emplace_back(PrepareBundles{h.node, h.request, sender(h.node).floor(), id, h.group, h.bundles});
    } else if (h.phase == HoldPhase::kCommitting) {
      out.emplace_back(CommitBundles{h.node, id});
    } else {
      return;
    }
  } else {
    return;
  }
  timers_.set(id, now + limits_.resend_every);
}

void GroupMachine::trim_over() {
  while (over_.size() > limits_.over_max) {
    groups_.erase(over_.begin()->second);
    over_.erase(over_.begin());
  }
}

base::RequestSender& GroupMachine::sender(const base::NodeId& id) {
  return senders_.try_emplace(id, limits_.hold_window).first->second;
}

}  // namespace mobula::scheduler
