#include "scheduler/actor.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace mobula::scheduler {

ActorMachine::ActorMachine(std::uint64_t origin, ActorLimits limits)
    : origin_(origin), limits_(limits), view_(limits.view) {
  assert(limits.actors_max > 0 && limits.lease_window > 0);
}

void ActorMachine::step(base::Time now, ActorInput input, base::Outbox<ActorOutput>& out) {
  std::visit([&](auto&& event) { on(now, std::move(event), out); }, std::move(input));
  tick(now, out);
}

void ActorMachine::tick(base::Time now, base::Outbox<ActorOutput>& out) {
  while (const auto lease = release_timers_.pop_due(now)) release(now, *lease, releases_.at(*lease), out);
  while (const auto id = timers_.pop_due(now)) {
    Actor& actor = actors_.at(*id);
    if (actor.phase == Phase::kAsked) ask(now, actor, out);
    if (actor.phase == Phase::kStarting) start(now, actor, out);
    if (actor.phase == Phase::kBackoff) queue_for_place(actor);
  }
  place_waiting(now, out);
  trim_dead();
}

std::optional<base::Time> ActorMachine::next_deadline() const {
  return base::earlier(base::earlier(timers_.next(), release_timers_.next()), place_at_);
}

const ActorView* ActorMachine::find(const base::ActorId& actor) const {
  const auto it = actors_.find(actor);
  return it == actors_.end() ? nullptr : &it->second.view;
}

std::optional<base::ActorId> ActorMachine::named(const std::string& ns, const std::string& name) const {
  const auto it = names_.find({ns, name});
  return it == names_.end() ? std::nullopt : std::optional(it->second);
}

std::vector<ActorView> ActorMachine::changes_since(std::uint64_t version) const {
  std::vector<ActorView> views;
  for (auto it = changes_.upper_bound(version); it != changes_.end(); ++it) {
    views.push_back(actors_.at(it->second).view);
  }
  return views;
}

void ActorMachine::on(base::Time, RegisterActor&& e, Out& out) {
  if (actors_.contains(e.actor)) {
    out.emplace_back(ActorRegistered{e.request, e.actor});
    return;
  }
  const auto refuse = [&](std::string why) { out.emplace_back(ActorRefused{e.request, e.actor, std::move(why)}); };
  const bool owned = e.lifetime == ActorLifetime::kOwned;
  if (!e.name.empty()) {
    if (const auto other = named(e.ns, e.name)) {
      if (e.existing == OnExistingName::kRefuse) {
        return refuse("the name '" + e.name + "' is taken in namespace '" + e.ns + "'");
      }
      out.emplace_back(ActorRegistered{e.request, *other});
      return;
    }
  }
  if (owned && gone_owners_.contains(e.owner)) return refuse("its owner is gone");
  if (actors_.size() - dead_.size() >= limits_.actors_max) {
    return refuse("the cluster has " + std::to_string(limits_.actors_max) + " actors, its limit");
  }
  Actor& actor = actors_[e.actor];
  ActorView& view = actor.view;
  view.actor = e.actor;
  view.restarts_left = e.max_restarts;
  view.job = e.job;
  view.owner = e.owner;
  view.name = std::move(e.name);
  view.ns = std::move(e.ns);
  view.lifetime = e.lifetime;
  actor.strategy = std::move(e.strategy);
  actor.shape = std::move(e.shape);
  actor.owner_node = e.owner_node;
  actor.labels = std::move(e.labels);
  if (!view.name.empty()) names_.emplace(std::pair(view.ns, view.name), view.actor);
  if (owned) by_owner_[view.owner].insert(view.actor);
  out.emplace_back(ActorRegistered{e.request, e.actor});
  changed(actor, out);
  queue_for_place(actor);
}

void ActorMachine::on(base::Time now, ActorGrant&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor) {
    if (!releases_.contains(e.lease)) release(now, e.lease, {e.node, e.actor, 0, StopMode::kKill}, out);
    return;
  }
  if (actor->phase != Phase::kAsked) return;
  sender(actor->node).answered(actor->request);
  actor->starts = {};
  actor->phase = Phase::kStarting;
  actor->worker = e.worker;
  actor->address = std::move(e.address);
  start(now, *actor, out);
}

void ActorMachine::on(base::Time now, ActorReject&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor || actor->phase != Phase::kAsked) return;
  view_.refused(now, actor->node);
  forget_lease(*actor, out);
  if (e.reason == ActorReject::Reason::kStartFailed) return start_failed(now, *actor, e.node, std::move(e.cause), out);
  queue_for_place(*actor);
}

void ActorMachine::on(base::Time now, ActorLost&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor) {
    if (!releases_.contains(e.lease)) release(now, e.lease, {e.node, e.actor, 0, StopMode::kKill}, out);
    return;
  }
  const bool asked = actor->phase == Phase::kAsked;
  leave_lease(now, *actor, StopMode::kKill, out);
  if (asked) {
    start_failed(now, *actor, e.node, std::move(e.cause), out);  // Nothing of it has run.
  } else {
    died(now, *actor, std::move(e.cause), out);
  }
}

void ActorMachine::on(base::Time, ActorReleased&& e, Out&) {
  const auto it = releases_.find(e.lease);
  if (it == releases_.end()) return;
  if (it->second.request != 0) {
    if (const auto s = senders_.find(it->second.node); s != senders_.end()) s->second.answered(it->second.request);
  }
  releases_.erase(it);
  release_timers_.clear(e.lease);
}

void ActorMachine::on(base::Time, ActorStarted&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor || actor->phase != Phase::kStarting) return;
  actor->phase = Phase::kAlive;
  timers_.clear(e.actor);
  ActorView& view = actor->view;
  view.state = ActorState::kAlive;
  view.node = actor->node;
  view.worker = actor->worker;
  view.address = e.address.empty() ? actor->address : std::move(e.address);
  view.cause.clear();
  changed(*actor, out);
}

void ActorMachine::on(base::Time now, ActorStartFailed&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor || actor->phase != Phase::kStarting) return;
  end(now, *actor, ActorEnd::kConstructorThrew, std::move(e.error), StopMode::kKill, out);
}

void ActorMachine::on(base::Time now, ActorExited&& e, Out& out) {
  Actor* actor = with_lease(e.actor, e.lease);
  if (!actor || actor->phase == Phase::kAsked) return;
  end(now, *actor, ActorEnd::kExited, "it ended itself", StopMode::kDrain, out);
}

void ActorMachine::on(base::Time now, KillActor&& e, Out& out) {
  const auto it = actors_.find(e.actor);
  if (it == actors_.end() || it->second.phase == Phase::kDead) return;
  Actor& actor = it->second;
  if (e.restart == KillActor::Restart::kNever) {
    end(now, actor, ActorEnd::kKilled, "it was killed", StopMode::kKill, out);
  } else if (actor.phase == Phase::kStarting || actor.phase == Phase::kAlive) {
    leave_lease(now, actor, StopMode::kKill, out);
    died(now, actor, "it was killed, restarts allowed", out);
  }
}

void ActorMachine::on(base::Time now, ActorHandlesGone&& e, Out& out) {
  const auto it = actors_.find(e.actor);
  if (it == actors_.end() || it->second.view.lifetime == ActorLifetime::kDetached) return;
  end(now, it->second, ActorEnd::kOutOfScope, "no handle to it is left", StopMode::kDrain, out);
}

void ActorMachine::on(base::Time now, ActorOwnerGone&& e, Out& out) { owner_gone(now, e.owner, out); }

void ActorMachine::on(base::Time now, ActorJobEnded&& e, Out& out) {
  std::vector<base::ActorId> owned;
  for (const auto& [id, actor] : actors_) {
    const bool lives = actor.phase != Phase::kDead && actor.view.lifetime == ActorLifetime::kOwned;
    if (lives && actor.view.job == e.job) owned.push_back(id);
  }
  for (const base::ActorId& id : owned) {
    end(now, actors_.at(id), ActorEnd::kJobEnded, "its job has ended", StopMode::kDrain, out);
  }
}

void ActorMachine::on(base::Time now, GroupNews&& e, Out& out) {
  if (!view_.apply(e)) return;
  place_at_ = now;
  if (!e.over) return;
  std::vector<base::ActorId> inside;
  for (const auto& [id, actor] : actors_) {
    if (actor.strategy.bundle.group == e.group && actor.phase != Phase::kDead) inside.push_back(id);
  }
  for (const base::ActorId& id : inside) {
    end(now, actors_.at(id), ActorEnd::kKilled, "its placement group is over: " + e.why, StopMode::kKill, out);
  }
}

void ActorMachine::on(base::Time now, NodeView&& e, Out& out) {
  e.actors = actors_of(e.node);  // Nobody knows better.
  if (!view_.apply(e)) return;
  reload(e.node);
  place_at_ = now;  // There may be room now.
  if (e.state != NodeState::kDead) return;
  std::erase_if(releases_, [&](const auto& r) {
    if (r.second.node != e.node) return false;
    release_timers_.clear(r.first);
    return true;
  });
  std::vector<base::ActorId> there;
  for (const auto& [id, actor] : actors_) {
    if (!actor.lease.is_nil() && actor.node == e.node) there.push_back(id);
  }
  for (const base::ActorId& id : there) {
    Actor& actor = actors_.at(id);
    if (actor.lease.is_nil()) continue;  // It died with an owner on that node.
    const bool asked = actor.phase == Phase::kAsked;
    const base::WorkerId worker = actor.worker;
    forget_lease(actor, out);
    if (asked) {
      queue_for_place(actor);
    } else {
      owner_gone(now, worker, out);
      if (actor.phase != Phase::kDead) died(now, actor, "its node " + e.node.short_hex() + " died", out);
    }
  }
  senders_.erase(e.node);
  placed_.erase(e.node);
  reload(e.node);
  labels_.erase(e.node);
}

bool ActorMachine::is_valid() const {
  std::size_t dead = 0, placing = 0, named = 0, leased = 0, placed = 0;
  std::set<base::LeaseId> leases;
  for (const auto& [id, actor] : actors_) {
    const bool is_dead = actor.phase == Phase::kDead;
    dead += is_dead;
    placing += actor.phase == Phase::kPlacing;
    if (is_dead != (actor.view.state == ActorState::kDead)) return false;
    if ((actor.phase == Phase::kAlive) != (actor.view.state == ActorState::kAlive)) return false;
    if (!is_dead && !actor.view.name.empty()) {
      const auto it = names_.find({actor.view.ns, actor.view.name});
      if (it == names_.end() || it->second != id) return false;
      ++named;
    }
    const bool has = actor.phase == Phase::kAsked || actor.phase == Phase::kStarting || actor.phase == Phase::kAlive;
    if (has == actor.lease.is_nil()) return false;
    if (has && (releases_.contains(actor.lease) || !leases.insert(actor.lease).second)) return false;
    leased += has;
    const auto change = changes_.find(actor.view.version);
    if (change == changes_.end() || change->second != id) return false;
  }
  for (const auto& [node, count] : placed_) placed += count;
  return dead == dead_.size() && placing == placing_.size() && named == names_.size() && placed == leased &&
         changes_.size() == actors_.size() && dead <= limits_.dead_max && actors_.size() - dead <= limits_.actors_max &&
         gone_owners_.size() == gone_order_.size();
}

}  // namespace mobula::scheduler
