#include <algorithm>
#include <tuple>
#include <utility>

#include "scheduler/lease_state.h"

namespace mobula::scheduler {
namespace {

bool shares_a_resource(const base::Resources& a, const base::Resources& b) {
  return std::any_of(a.all().begin(), a.all().end(), [&](const auto& r) { return b.all().contains(r.first); });
}

}  // namespace

void LeaseMachine::State::settle(base::Time now, Out& out) {
  check_feasible(now, out);
  // Each round either places slots, which takes resources, or ends the loop.
  for (;;) {
    seats.settle(now, out);
    auto events = seats.take_events();
    for (auto& event : events) route(now, std::move(event), out);
    const std::size_t slots = demands.slots().size();
    place(now, out);
    if (events.empty() && demands.slots().size() == slots) break;
  }
  recall_for_waiting(now, out);
  publish(now, out);
}

// The priority of who waits there first, grown with the wait so that nothing starves.
std::int32_t LeaseMachine::State::urgency(base::Time now, const DemandBook::Kind& kind) const {
  const auto first = demands.demands().find(kind.line.begin()->second);
  const auto waited = std::max(now - first->second.hungry_since, base::Duration{0}) / limits.priority_age;
  return kind.strategy.priority + static_cast<std::int32_t>(std::min<std::int64_t>(waited, 2 * kPriorityMax));
}

// Serves the lines, always the most urgent demand, of these the one that has waited longest, one slot at a time.
void LeaseMachine::State::place(base::Time now, Out& out) {
  reserved.clear();
  retry_at.reset();
  std::set<std::tuple<std::int32_t, std::uint64_t, std::uint32_t>> lines;  // Less urgency, front ticket, kind.
  const auto enter = [&](const DemandBook::Kind& kind, std::uint32_t id) {
    if (!kind.line.empty()) lines.emplace(-urgency(now, kind), kind.line.begin()->first, id);
  };
  for (const auto& [id, kind] : demands.kinds()) enter(kind, id);
  while (!lines.empty()) {
    const std::uint32_t id = std::get<2>(*lines.begin());
    lines.erase(lines.begin());
    DemandBook::Kind& kind = demands.kinds().at(id);
    const OwnerKey key = kind.line.begin()->second;
    const base::Time since = demands.find(key)->since;
    demands.refresh(now, key);  // Another key of the same owner may have filled its window.
    if (demands.find(key)->ticket == 0) {
      enter(kind, id);
      continue;
    }
    if (place_one(now, key, kind, out)) {
      demands.refresh(now, key);
      demands.to_the_end(now, key);
    } else if (since + limits.starve_after + limits.reserve_for <= now) {
      demands.queue_anew(now, key);
      retry_at = base::earlier(retry_at, now + limits.starve_after);
      continue;
    } else {
      if (since + limits.recall_after > now) retry_at = base::earlier(retry_at, since + limits.recall_after);
      const bool starves = since + limits.starve_after <= now;
      if (starves && !kind.strategy.bundle && could_drain_for(kind.shape)) reserved.push_back(kind.shape);
      retry_at =
          base::earlier(retry_at, since + limits.starve_after + (starves ? limits.reserve_for : base::Duration{0}));
      continue;
    }
    enter(kind, id);
  }
  if (retry_at) retry_at = base::earlier(retry_at, view.next_retry(now));
}

bool LeaseMachine::State::place_one(base::Time now, const OwnerKey& key, DemandBook::Kind& kind, Out& out) {
  const auto where = fits_here(kind.shape, kind.strategy.bundle);
  const auto preference = kind.strategy.preference(self.node, self.labels);
  const bool here = preference && where && seats.seats().size() < limits.leases_max &&
                    (kind.strategy.beside.empty() || kind.strategy.allows_beside(view.find(self.node)->actors));
  std::optional<base::NodeId> node;
  if (here && *preference == 0 && std::holds_alternative<PackThenSpread>(kind.strategy.placement)) {
    node = self.node;
  } else {
    view.set_available(self.node, seats.available());
    node = view.pick(now, {kind.shape, kind.strategy, self.node, here ? std::nullopt : std::optional(self.node)});
  }
  // Where this node can never serve, nothing is recalled here: have another one recall.
  if (!node && !serves_here(kind) && demands.find(key)->since + limits.recall_after <= now) {
    node = view.probe(now, {kind.shape, kind.strategy, self.node, self.node});
  }
  if (!node) return false;
  if (*node == self.node) {
    const DemandBook::Demand& demand = *demands.find(key);
    const SeatBook::Holder holder{SeatBook::Holder::Kind::kHome,
                                  {},
                                  key.owner,
                                  key.key,
                                  {},
                                  kind.strategy.priority,
                                  demand.function,
                                  demand.retriable};
    const base::JobId job = demand.job;
    seats.take(now, demands.ask_here(key), holder, job, kind.shape, *where);
    return true;
  }
  if (!demands.may_ask(*node)) return false;
  demands.ask_peer(now, key, *node, out);
  view.assume(now, *node, kind.shape);
  return true;
}

bool LeaseMachine::State::serves_here(const DemandBook::Kind& kind) const {
  return seats.could_serve(kind.shape, kind.strategy.bundle) && kind.strategy.allows(self.node, self.labels);
}

std::optional<BundleRef> LeaseMachine::State::fits_here(const base::Resources& shape, const BundleRef& bundle) const {
  // What a bundle has is nobody else's: no reservation of the node's concerns it.
  const bool waits = !bundle && std::any_of(reserved.begin(), reserved.end(),
                                            [&](const base::Resources& r) { return shares_a_resource(r, shape); });
  return waits ? std::nullopt : seats.room_for(shape, bundle);
}

// Whether the shape would fit here once the leases that can end have ended: actors stay, and a blocked task may be
// waiting for the very work that a reservation would hold up.
bool LeaseMachine::State::could_drain_for(const base::Resources& shape) const {
  base::Resources could = seats.available();
  for (const auto& [lease, seat] : seats.seats()) {
    if (seat.bundle) continue;
    const bool ends = seat.holder.kind != SeatBook::Holder::Kind::kGcs && !seat.blocked;
    if (ends || seat.phase == SeatBook::Phase::kLeaving) could.add(SeatBook::held(seat));
  }
  return could.covers(shape);
}

void LeaseMachine::State::check_feasible(base::Time now, Out& out) {
  for (auto& [id, kind] : demands.kinds()) {
    if (kind.line.empty()) continue;
    if (kind.feasible_checked != view.shape_version()) {
      kind.feasible_checked = view.shape_version();
      if (!view.infeasible(kind.shape, kind.strategy)) {
        kind.infeasible_since.reset();
      } else if (!kind.infeasible_since) {
        kind.infeasible_since = now;
      }
    }
    if (!kind.infeasible_since || *kind.infeasible_since + limits.infeasible_grace > now) continue;
    const auto why = view.infeasible(kind.shape, kind.strategy);
    const auto line = kind.line;
    for (const auto& [ticket, key] : line) {
      DemandBook::Demand* demand = demands.find(key);
      demand->refused = std::exchange(demand->want, 0);
      demands.refresh(now, key);
      refuse(now, key, *why, out);
    }
  }
}

void LeaseMachine::State::refuse(base::Time now, const OwnerKey& key, const Infeasible& why, Out& out) {
  const DemandBook::Demand& demand = *demands.find(key);
  out.emplace_back(Unschedulable{key.owner, key.key, demand.seq, demands.kinds().at(demand.kind).shape, why});
  refusals.set(key, now + limits.resend_every);
}

// The answer may have been lost: it is given again, or, when a node has come that could serve, taken back.
void LeaseMachine::State::refuse_again(base::Time now, Out& out) {
  while (const auto key = refusals.pop_due(now)) {
    DemandBook::Demand* demand = demands.find(*key);
    if (!demand || demand->refused == 0) continue;
    const DemandBook::Kind& kind = demands.kinds().at(demand->kind);
    if (const auto why = view.infeasible(kind.shape, kind.strategy)) {
      refuse(now, *key, *why, out);
    } else {
      demand->want = std::exchange(demand->refused, 0);
      demands.refresh(now, *key);
    }
  }
}

// Takes leases back for demands that have waited too long for this node.
void LeaseMachine::State::recall_for_waiting(base::Time now, Out& out) {
  struct Due {
    std::int32_t urgency;
    base::Time since;
    OwnerKey key;
    const DemandBook::Kind* kind;
  };
  std::vector<Due> due;
  std::optional<base::Time> next;
  for (const auto& [id, kind] : demands.kinds()) {
    if (kind.infeasible_since && !kind.line.empty()) {
      retry_at = base::earlier(retry_at, *kind.infeasible_since + limits.infeasible_grace);
    }
    if (kind.line.empty() || !serves_here(kind)) continue;
    const OwnerKey& key = kind.line.begin()->second;
    const base::Time since = demands.find(key)->since;
    next = base::earlier(next, std::max(since + limits.recall_after, now + limits.recall_after));
    if (since + limits.recall_after > now) {
      next = base::earlier(next, since + limits.recall_after);
    } else {
      due.push_back({urgency(now, kind), since, key, &kind});
    }
  }
  const bool too_early = recall_at && *recall_at > now;
  if (!next) {
    recall_at.reset();
  } else if (!too_early) {
    std::sort(due.begin(), due.end(), [](const Due& a, const Due& b) {
      return a.urgency != b.urgency ? a.urgency > b.urgency : a.since < b.since;
    });
    for (const Due& d : due) {
      const Strategy& strategy = d.kind->strategy;
      recall_for(now, {{}, d.key, strategy.priority, d.urgency}, d.kind->shape, strategy.bundle, out);
    }
    recall_at = next;
  }
}

void LeaseMachine::State::recall_for(base::Time now, const Waiter& waiter, const base::Resources& shape,
                                     const BundleRef& bundle, Out& out) {
  using Key = std::pair<base::NodeId, OwnerKey>;
  if (!seats.could_serve(shape, bundle)) return;
  const auto competes = [&bundle](const SeatBook::Seat& seat) {
    if (!bundle) return !seat.bundle;
    return seat.bundle.group == bundle.group && (bundle.index == BundleRef::kAny || seat.bundle == bundle);
  };
  std::map<Key, std::size_t> held;
  std::vector<std::tuple<std::int32_t, base::Time, base::LeaseId>> oldest;  // Of the lowest priority first.
  base::Resources coming = seats.available_in(bundle);
  for (const auto& [lease, seat] : seats.seats()) {
    if (seat.holder.kind == SeatBook::Holder::Kind::kGcs || !competes(seat) || seat.phase != SeatBook::Phase::kHeld)
      continue;
    ++held[{seat.holder.peer, {seat.holder.owner, seat.holder.key}}];
    if (seat.recalled) coming.add(SeatBook::held(seat));
    const bool ripe = !seat.recalled && !seat.blocked && seat.since + limits.lease_quantum <= now;
    const std::int32_t priority = seat.holder.priority;
    if (ripe && priority <= waiter.urgency) oldest.emplace_back(priority, seat.since, lease);
  }
  std::sort(oldest.begin(), oldest.end());
  const Key own{waiter.home, waiter.key};
  const DemandBook::Demand* demand = waiter.home.is_nil() ? demands.find(waiter.key) : nullptr;
  const std::size_t mine = demand ? demand->slots.size() : held[own];
  for (const auto& [priority, since, lease] : oldest) {
    if (coming.covers(shape)) return;
    const SeatBook::Seat& seat = *seats.find(lease);
    const Key key{seat.holder.peer, {seat.holder.owner, seat.holder.key}};
    const bool fair = priority < waiter.priority || mine == 0 || held[key] >= mine + 2;
    if (key == own || !fair) continue;
    --held[key];
    coming.add(SeatBook::held(seat));
    seats.mark_recalled(lease);
    if (seat.holder.kind == SeatBook::Holder::Kind::kHome) {
      demands.recall(now, lease, out);
    } else {
      tell_again(now, lease, out);
    }
  }
}

void LeaseMachine::State::publish(base::Time now, Out& out) {
  if (seats.available() == published || now < published_at + limits.publish_every) return;
  published = seats.available();
  published_at = now;
  out.emplace_back(AvailabilityChanged{++version, published});
}

}  // namespace mobula::scheduler
