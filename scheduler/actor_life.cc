// Placement, leases and the end of actors.

#include <algorithm>
#include <cassert>
#include <tuple>
#include <utility>

#include "scheduler/actor.h"
#include "scheduler/planted.h"

namespace mobula::scheduler {

ActorMachine::Actor* ActorMachine::with_lease(const base::ActorId& id, const base::LeaseId& lease) {
  const auto it = actors_.find(id);
  return it == actors_.end() || lease.is_nil() || it->second.lease != lease ? nullptr : &it->second;
}

void ActorMachine::changed(Actor& actor, Out& out) {
  changes_.erase(actor.view.version);
  actor.view.version = ++version_;
  changes_.emplace(version_, actor.view.actor);
  out.emplace_back(ActorChanged{actor.view});
}

void ActorMachine::queue_for_place(Actor& actor) {
  actor.phase = Phase::kPlacing;
  actor.ticket = next_ticket_++;
  placing_.emplace(std::pair(-actor.strategy.priority, actor.ticket), actor.view.actor);
  timers_.clear(actor.view.actor);
  place_at_ = base::Time::min();
}

void ActorMachine::leave_line(Actor& actor) {
  placing_.erase({-actor.strategy.priority, std::exchange(actor.ticket, 0)});
}

ActorLabels ActorMachine::actors_of(const base::NodeId& node) const {
  ActorLabels out;
  const auto it = labels_.find(node);
  if (it == labels_.end()) return out;
  for (const auto& [label, count] : it->second) out.insert(label);
  return out;
}

// REQUIRES: its node is known.
void ActorMachine::count_labels(const Actor& actor, int change, Out& out) {
  bool news = false;
  for (const auto& label : actor.labels) {
    auto& there = labels_[actor.node];
    std::size_t& count = there[label];
    const bool was = count != 0;
    count = change > 0 ? count + 1 : count - 1;
    news = news || was != (count != 0);
    if (count == 0) there.erase(label);
    if (there.empty()) labels_.erase(actor.node);
  }
  if (!news) return;
  const ActorLabels now = actors_of(actor.node);
  view_.set_actors(actor.node, now);
  out.emplace_back(NodeActors{actor.node, now});
}

// The most urgent first, then the oldest; a shape that found no room is not tried again in the same round.
void ActorMachine::place_waiting(base::Time now, Out& out) {
  if (!place_at_ || *place_at_ > now) return;
  place_at_.reset();
  std::set<std::pair<base::Resources, Strategy>> failed;
  const auto line = placing_;
  for (const auto& [place_in_line, id] : line) {
    Actor& actor = actors_.at(id);
    if (actor.phase != Phase::kPlacing || actor.ticket != place_in_line.second) continue;
    std::pair<base::Resources, Strategy> kind{actor.shape, actor.strategy};
    const bool choosy = !actor.starts.round.empty();
    if ((!choosy && failed.contains(kind)) || place(now, actor, out)) continue;
    if (!choosy) failed.insert(std::move(kind));
  }
  if (!placing_.empty()) place_at_ = now + limits_.place_retry;
}

bool ActorMachine::place(base::Time now, Actor& actor, Out& out) {
  auto node = choose(now, actor);
  if (!node && actor.probe_at && *actor.probe_at <= now) {
    node = view_.probe(now, {actor.shape, actor.strategy, actor.owner_node, std::nullopt});
  }
  if (!node) {
    const auto why = view_.infeasible(actor.shape, actor.strategy);
    if (!why) {
      actor.infeasible_since.reset();
      if (!actor.probe_at || *actor.probe_at <= now) actor.probe_at = now + limits_.place_retry;
      return false;
    }
    if (!actor.infeasible_since) actor.infeasible_since = now;
    if (*actor.infeasible_since + limits_.infeasible_grace > now) return false;
    actor.view.nearest = why->nearest;
    end(now, actor, ActorEnd::kUnschedulable, why->missing, StopMode::kKill, out);
    return true;
  }
  if (!sender(*node).has_room()) return false;
  leave_line(actor);
  actor.phase = Phase::kAsked;
  actor.probe_at = now + limits_.place_retry;
  actor.node = *node;
  actor.lease = base::LeaseId::from_words(origin_, ~origin_, next_lease_++, 1);
  actor.request = sender(*node).issue();
  ++placed_[*node];
  reload(*node);
  count_labels(actor, 1, out);
  view_.assume(now, *node, actor.shape);
  ask(now, actor, out);
  return true;
}

std::optional<base::NodeId> ActorMachine::choose(base::Time now, const Actor& actor) {
  ClusterView::Wish wish{actor.shape, actor.strategy, actor.owner_node, std::nullopt, &actor.starts.round};
  if (const auto node = choose_among(now, actor, wish)) return node;
  if (actor.starts.round.empty()) return std::nullopt;
  wish.avoid = nullptr;
  return choose_among(now, actor, wish);
}

// Shapes without cpus never fill a node: such actors go where the fewest actors per cpu are.
std::optional<base::NodeId> ActorMachine::choose_among(base::Time now, const Actor& actor,
                                                       const ClusterView::Wish& wish) {
  const bool affine = std::holds_alternative<NodeAffinity>(actor.strategy.placement);
  if (affine || actor.shape.get("cpus").units != 0) return view_.pick(now, wish);
  return least_loaded(now, actor, wish);
}

std::optional<base::NodeId> ActorMachine::least_loaded(base::Time now, const Actor& actor,
                                                       const ClusterView::Wish& wish) const {
  // How far down a node is, when it could take it.
  const auto preference = [&](const base::NodeId& id) {
    const NodeView* view = view_.find(id);
    const bool could = view && view_.could_take(now, *view, wish);
    return could ? actor.strategy.preference(id, view->labels) : std::nullopt;
  };
  const auto home = loads_.find(actor.owner_node);
  std::optional<base::NodeId> best;
  std::size_t least = 0;
  for (const auto& [load, id] : by_load_) {
    const auto here = preference(id);
    if (!here || (best && least <= *here)) continue;
    least = *here;
    // Among equals the owner's own node.
    const bool home_is_equal = home != loads_.end() && home->second == load && preference(home->first) == here;
    best = home_is_equal ? home->first : id;
    if (least == 0) break;
  }
  return best;
}

std::int64_t ActorMachine::load_of(const NodeView& view) const {
  const auto it = placed_.find(view.node);
  const auto count = static_cast<std::int64_t>(it == placed_.end() ? 0 : it->second) + 1;
  return count * base::Amount::kPerOne * 1000 / std::max<std::int64_t>(view.total.get("cpus").units, 1);
}

void ActorMachine::reload(const base::NodeId& node) {
  const auto known = loads_.find(node);
  if (known != loads_.end()) {
    by_load_.erase({known->second, node});
    loads_.erase(known);
  }
  const NodeView* view = view_.find(node);
  if (!view) return;
  const std::int64_t load = loads_[node] = load_of(*view);
  by_load_.emplace(load, node);
}

void ActorMachine::ask(base::Time now, const Actor& actor, Out& out) {
  out.emplace_back(ActorLease{actor.node, actor.request, sender(actor.node).floor(), actor.lease, actor.view.actor,
                              actor.view.incarnation, actor.view.job, actor.shape, actor.strategy.bundle});
  timers_.set(actor.view.actor, now + limits_.lease_resend);
}

void ActorMachine::start(base::Time now, const Actor& actor, Out& out) {
  out.emplace_back(
      StartActor{actor.view.actor, actor.view.incarnation, actor.node, actor.lease, actor.worker, actor.address});
  timers_.set(actor.view.actor, now + limits_.start_resend);
}

void ActorMachine::leave_lease(base::Time now, Actor& actor, StopMode mode, Out& out) {
  if (actor.lease.is_nil()) return;
  const base::WorkerId worker = actor.worker;
  const std::uint64_t request = actor.phase == Phase::kAsked ? actor.request : 0;
  const base::LeaseId lease = actor.lease;
  const base::NodeId node = actor.node;
  actor.request = 0;  // An open request is answered by the confirmation of its release.
  forget_lease(actor, out);
  release(now, lease, {node, actor.view.actor, request, mode}, out);
  if (!worker.is_nil()) owner_gone(now, worker, out);
}

void ActorMachine::forget_lease(Actor& actor, Out& out) {
  if (actor.request != 0) sender(actor.node).answered(actor.request);
  if (const auto it = placed_.find(actor.node); it != placed_.end() && --it->second == 0) placed_.erase(it);
  reload(actor.node);
  if (!view_.is_dead(actor.node)) count_labels(actor, -1, out);
  timers_.clear(actor.view.actor);
  actor.request = 0;
  actor.lease = {};
  actor.worker = {};
  actor.address.clear();
}

void ActorMachine::release(base::Time now, const base::LeaseId& lease, Release what, Out& out) {
  if (view_.is_dead(what.node)) return;
  releases_[lease] = what;
  release_timers_.set(lease, now + limits_.lease_resend);
  out.emplace_back(ActorRelease{what.node, what.request, sender(what.node).floor(), lease, what.actor, what.mode});
}

// REQUIRES: it has no lease any more.
void ActorMachine::start_failed(base::Time now, Actor& actor, const base::NodeId& node, std::string cause, Out& out) {
  StartFailures& starts = actor.starts;
  if (starts.count++ == 0) starts.first = now;
  starts.nodes.insert(node);
  starts.round.insert(node);
  if (each_is_in(starts.round, actor)) starts.round.clear();
  const base::Duration failing = now - starts.first;
  const bool enough =
      starts.count >= limits_.start_tries && failing >= limits_.start_patience && each_is_in(starts.nodes, actor);
  if (!enough && starts.count < limits_.start_tries_max) return queue_for_place(actor);
  const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(failing).count();
  actor.view.evidence = std::to_string(starts.count) + " starts failed in a row within " + std::to_string(ms) +
                        " ms, on " + std::to_string(starts.nodes.size()) +
                        (starts.nodes.size() == 1 ? " node" : " nodes");
  end(now, actor, ActorEnd::kStartFailed, std::move(cause), StopMode::kKill, out);
}

// Whether these are all the nodes that could have it.
bool ActorMachine::each_is_in(const std::set<base::NodeId>& nodes, const Actor& actor) const {
  return std::ranges::all_of(view_.nodes(), [&](const auto& entry) {
    const NodeView& view = entry.second;
    const bool could = view.total.covers(actor.shape) && actor.strategy.allows(view.node, view.labels);
    return !could || nodes.contains(view.node);
  });
}

// REQUIRES: it has no lease any more.
void ActorMachine::died(base::Time now, Actor& actor, std::string cause, Out& out) {
  ActorView& view = actor.view;
  if (actor.phase == Phase::kDead) return;
  if (view.restarts_left == 0) return end(now, actor, ActorEnd::kWorkerDied, std::move(cause), StopMode::kKill, out);
  if (view.restarts_left != kRestartForever) --view.restarts_left;
  if (!planted(Mistake::kSameIncarnation)) ++view.incarnation;
  view.state = ActorState::kRestarting;
  view.node = {};
  view.worker = {};
  view.address.clear();
  view.cause = std::move(cause);
  changed(actor, out);
  const std::uint32_t n = actor.restarts++;
  if (n == 0) return queue_for_place(actor);
  const auto delay =
      std::min(limits_.restart_backoff * (std::int64_t{1} << std::min(n - 1, 20u)), limits_.restart_backoff_max);
  actor.phase = Phase::kBackoff;
  timers_.set(view.actor, now + delay);
}

void ActorMachine::end(base::Time now, Actor& actor, ActorEnd why, std::string cause, StopMode mode, Out& out) {
  if (actor.phase == Phase::kDead) return;
  ActorView& view = actor.view;
  if (actor.phase == Phase::kPlacing) leave_line(actor);
  timers_.clear(view.actor);
  if (!view.name.empty()) names_.erase({view.ns, view.name});
  if (const auto it = by_owner_.find(view.owner); it != by_owner_.end()) {
    it->second.erase(view.actor);
    if (it->second.empty()) by_owner_.erase(it);
  }
  const Phase was = std::exchange(actor.phase, Phase::kDead);
  view.state = ActorState::kDead;
  view.end = why;
  view.cause = std::move(cause);
  view.node = {};
  view.worker = {};
  view.address.clear();
  changed(actor, out);
  dead_.emplace(view.version, view.actor);
  if (!actor.lease.is_nil()) {
    actor.phase = was;
    const base::ActorId id = view.actor;
    const base::WorkerId worker = std::exchange(actor.worker, {});
    leave_lease(now, actor, mode, out);
    actors_.at(id).phase = Phase::kDead;
    if (!worker.is_nil()) owner_gone(now, worker, out);
  }
}

void ActorMachine::owner_gone(base::Time now, const base::WorkerId& owner, Out& out) {
  if (gone_owners_.insert(owner).second) gone_order_.push_back(owner);
  if (gone_owners_.size() > limits_.gone_owners_max) {
    gone_owners_.erase(gone_order_.front());
    gone_order_.pop_front();
  }
  const auto it = by_owner_.find(owner);
  if (it == by_owner_.end()) return;
  for (const base::ActorId& id : std::vector(it->second.begin(), it->second.end())) {
    end(now, actors_.at(id), ActorEnd::kOwnerDied, "its owner died", StopMode::kKill, out);
  }
}

std::optional<ActorMachine::Wait> ActorMachine::wait_of(base::Time now, const base::ActorId& id) const {
  const auto it = actors_.find(id);
  if (it == actors_.end()) return std::nullopt;
  const Actor& actor = it->second;
  switch (actor.phase) {
    case Phase::kAlive:
    case Phase::kDead: return std::nullopt;
    case Phase::kBackoff: return Wait{actor.shape, "it waits before it starts again: " + actor.view.cause, {}};
    case Phase::kAsked: return Wait{actor.shape, "a node was asked for a worker", actor.node};
    case Phase::kStarting: return Wait{actor.shape, "its constructor runs", actor.node};
    case Phase::kPlacing: break;
  }
  Infeasible why = view_.shortage_now(now, {actor.shape, actor.strategy, actor.owner_node, std::nullopt});
  return Wait{actor.shape, std::move(why.missing), why.nearest};
}

const base::Resources* ActorMachine::shape_of(const base::ActorId& id) const {
  const auto it = actors_.find(id);
  return it == actors_.end() ? nullptr : &it->second.shape;
}

base::RequestSender& ActorMachine::sender(const base::NodeId& node) {
  return senders_.try_emplace(node, limits_.lease_window).first->second;
}

void ActorMachine::trim_dead() {
  while (dead_.size() > limits_.dead_max) {
    changes_.erase(dead_.begin()->first);
    actors_.erase(dead_.begin()->second);
    dead_.erase(dead_.begin());
  }
}

}  // namespace mobula::scheduler
