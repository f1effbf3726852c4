#include "scheduler/lease.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "scheduler/lease_state.h"
#include "scheduler/planted.h"

namespace mobula::scheduler {

LeaseMachine::State::State(Self me, LeaseLimits l)
    : self(std::move(me)),
      limits(l),
      view(l.view),
      seats(self.node, self.total, self.topology, l.pool),
      demands(self.node, l.owner_window, l.peer_window, l.resend_every),
      gcs(l.actor_window),
      holds(l.hold_window),
      published(self.total) {
  view.apply({self.node, 1, NodeState::kAlive, {}, self.total, self.total, self.labels});
}

LeaseMachine::LeaseMachine(Self self, LeaseLimits limits) : state_(std::make_unique<State>(std::move(self), limits)) {
  assert(limits.pool.workers_max > 0 && limits.leases_max > 0 && limits.owner_window > 0);
}
LeaseMachine::~LeaseMachine() = default;

void LeaseMachine::step(base::Time now, LeaseInput input, base::Outbox<LeaseOutput>& out) {
  std::visit([&](auto&& event) { state_->on(now, std::move(event), out); }, std::move(input));
  tick(now, out);
}

void LeaseMachine::tick(base::Time now, base::Outbox<LeaseOutput>& out) {
  State& s = *state_;
  s.demands.resend_due(now, out);
  while (const auto lease = s.told.pop_due(now)) s.tell_again(now, *lease, out);
  s.refuse_again(now, out);
  s.settle(now, out);
}

std::optional<base::Time> LeaseMachine::next_deadline() const {
  const State& s = *state_;
  std::optional<base::Time> next = base::earlier(s.demands.next_deadline(), s.seats.next_deadline());
  next = base::earlier(next, base::earlier(s.told.next(), s.refusals.next()));
  next = base::earlier(next, base::earlier(s.retry_at, s.recall_at));
  if (s.seats.available() != s.published) next = base::earlier(next, s.published_at + s.limits.publish_every);
  return next;
}

const SeatBook& LeaseMachine::seats() const { return state_->seats; }
const base::Resources& LeaseMachine::available() const { return state_->seats.available(); }

LeaseMachine::Counts LeaseMachine::counts() const {
  const State& s = *state_;
  Counts c;
  c.demands = s.demands.demands().size();
  for (const auto& [key, demand] : s.demands.demands()) {
    if (demand.slots.size() < demand.want) c.waiting_slots += demand.want - demand.slots.size();
  }
  c.leases = s.seats.seats().size();
  for (const auto& [lease, slot] : s.demands.slots()) c.away += slot.node != s.self.node;
  c.workers = s.seats.pool().size();
  c.idle_workers = s.seats.pool().idle();
  c.starting_workers = s.seats.pool().starting();
  return c;
}

std::vector<LeaseMachine::Wait> LeaseMachine::waits(base::Time now) const {
  State& s = *state_;
  s.view.set_available(s.self.node, s.seats.available());
  std::vector<Wait> out;
  for (const auto& [id, kind] : s.demands.kinds()) {
    if (kind.line.empty()) continue;
    Infeasible why = s.view.shortage_now(now, {kind.shape, kind.strategy, s.self.node, std::nullopt});
    for (const auto& [ticket, key] : kind.line) {
      const DemandBook::Demand& demand = s.demands.demands().at(key);
      const auto slots = static_cast<std::uint32_t>(demand.want - demand.slots.size());
      out.push_back(
          {key.owner, demand.job, demand.function, kind.shape, kind.strategy.priority, slots, demand.since, why});
    }
  }
  std::sort(out.begin(), out.end(), [](const Wait& a, const Wait& b) { return a.since < b.since; });
  return out;
}

bool LeaseMachine::is_valid() const {
  const State& s = *state_;
  if (!s.seats.is_valid() || !s.demands.is_valid()) return false;
  for (const auto& [lease, slot] : s.demands.slots()) {
    const bool here = slot.node == s.self.node;
    const SeatBook::Seat* seat = s.seats.find(lease);
    if (here != (seat && seat->holder.kind == SeatBook::Holder::Kind::kHome)) return false;
  }
  return s.demands.demands().size() <= s.limits.demands_max && s.seats.seats().size() <= s.limits.leases_max &&
         s.gone_owners.size() == s.gone_order.size();
}

void LeaseMachine::State::on(base::Time now, DemandSet&& event, Out& out) {
  const OwnerKey key{event.owner, event.key};
  if (gone_owners.contains(event.owner) || seats.pool().has_ended(event.job)) return;
  if (!demands.find(key) && demands.demands().size() >= limits.demands_max) return;
  const std::uint64_t seq = event.seq;
  if (!demands.set(now, event)) return;
  refusals.clear(key);
  trim(now, key, out);
  check_feasible(now, out);
  const DemandBook::Demand* demand = demands.find(key);
  // An infeasible demand was answered with Unschedulable, which left it without wants.
  if (demand->want == event.want) out.emplace_back(DemandAck{key.owner, key.key, seq});
}

void LeaseMachine::State::on(base::Time now, GrantAcked&& event, Out&) {
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (slot && slot->demand.owner == event.owner) demands.acked(now, event.lease);
}

void LeaseMachine::State::on(base::Time now, LeaseReturned&& event, Out& out) {
  out.emplace_back(ReturnAck{event.owner, event.lease});
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (!slot || slot->demand.owner != event.owner || slot->phase == DemandBook::Phase::kAsked) return;
  end_slot(now, event.lease, event.fate, out);
}

void LeaseMachine::State::on(base::Time now, OwnerGone&& event, Out& out) { owner_gone(now, event.owner, out); }

void LeaseMachine::State::on(base::Time, JobStarted&& event, Out&) {
  if (!seats.pool().has_ended(event.job)) seats.pool().job_started(event.job);
}

void LeaseMachine::State::on(base::Time now, JobEnded&& event, Out& out) {
  base::Outbox<StopWorker> stops;
  seats.pool().job_ended(event.job, stops);
  out.insert(out.end(), stops.begin(), stops.end());
  for (const OwnerKey& key : demands.of_job(event.job)) drop_demand(now, key, out);
  std::vector<base::LeaseId> tasks;
  for (const auto& [lease, seat] : seats.seats()) {
    if (seat.job == event.job && seat.holder.kind == SeatBook::Holder::Kind::kPeer) tasks.push_back(lease);
  }
  for (const base::LeaseId& lease : tasks) {
    told.clear(lease);
    seats.release(now, lease, WorkerFate::kSpent, StopMode::kKill, out);
  }
}

void LeaseMachine::State::on(base::Time now, WorkerReady&& event, Out&) { seats.worker_ready(now, event); }

void LeaseMachine::State::on(base::Time now, WorkerGone&& event, Out& out) {
  seats.worker_gone(event);
  owner_gone(now, event.worker, out);
}

void LeaseMachine::State::on(base::Time, WorkerBlocked&& event, Out&) { seats.set_blocked(event.worker, true); }
void LeaseMachine::State::on(base::Time, WorkerUnblocked&& event, Out&) { seats.set_blocked(event.worker, false); }
void LeaseMachine::State::on(base::Time now, StartFailed&& event, Out&) { seats.start_failed(now, event); }

void LeaseMachine::State::end_slot(base::Time now, const base::LeaseId& lease, WorkerFate fate, Out& out) {
  const DemandBook::Slot* slot = demands.slot(lease);
  if (!slot) return;
  if (slot->node == self.node) seats.release(now, lease, fate, StopMode::kKill, out);
  demands.end(now, lease, fate, out);
}

// Slots that were asked for and are not wanted any more.  What peers were asked for is decided when they answer.
void LeaseMachine::State::trim(base::Time now, const OwnerKey& key, Out& out) {
  const DemandBook::Demand* demand = demands.find(key);
  if (!demand || demand->slots.size() <= demand->want) return;
  std::size_t surplus = demand->slots.size() - demand->want;
  for (const base::LeaseId& lease : std::vector(demand->slots.rbegin(), demand->slots.rend())) {
    if (surplus == 0) break;
    const DemandBook::Slot* slot = demands.slot(lease);
    if (slot->phase != DemandBook::Phase::kAsked || slot->node != self.node) continue;
    end_slot(now, lease, WorkerFate::kReusable, out);
    --surplus;
  }
}

void LeaseMachine::State::drop_demand(base::Time now, const OwnerKey& key, Out& out) {
  DemandBook::Demand* demand = demands.find(key);
  if (!demand) return;
  demand->want = 0;
  refusals.clear(key);
  demands.refresh(now, key);
  for (const base::LeaseId& lease : std::vector(demand->slots.begin(), demand->slots.end())) {
    end_slot(now, lease, WorkerFate::kSpent, out);
  }
  demands.forget(key);
}

void LeaseMachine::State::owner_gone(base::Time now, const base::WorkerId& owner, Out& out) {
  if (gone_owners.insert(owner).second) gone_order.push_back(owner);
  if (gone_owners.size() > limits.gone_owners_max) {
    gone_owners.erase(gone_order.front());
    gone_order.pop_front();
  }
  if (planted(Mistake::kOwnerDeathForgotten)) return;
  for (const OwnerKey& key : demands.of_owner(owner)) drop_demand(now, key, out);
  std::vector<base::LeaseId> lost;
  for (const auto& [lease, slot] : demands.slots()) {
    if (slot.demand.owner == owner && slot.phase == DemandBook::Phase::kLost) lost.push_back(lease);
  }
  for (const base::LeaseId& lease : lost) end_slot(now, lease, WorkerFate::kSpent, out);
  demands.forget_owner(owner);
}

}  // namespace mobula::scheduler
