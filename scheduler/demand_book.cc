#include "scheduler/demand_book.h"

#include <cassert>
#include <utility>

#include "scheduler/planted.h"

namespace mobula::scheduler {

DemandBook::Demand* DemandBook::find(const OwnerKey& key) {
  const auto it = demands_.find(key);
  return it == demands_.end() ? nullptr : &it->second;
}

DemandBook::Slot* DemandBook::slot(const base::LeaseId& lease) {
  const auto it = slots_.find(lease);
  return it == slots_.end() ? nullptr : &it->second;
}

bool DemandBook::set(base::Time now, const DemandSet& event) {
  const OwnerKey key{event.owner, event.key};
  Demand* demand = find(key);
  if (demand && event.seq < demand->seq) return false;
  if (!demand) {
    demand = &demands_[key];
    demand->job = event.job;
    demand->kind = kind_of(event.shape, event.strategy);
  }
  demand->seq = event.seq;
  demand->want = event.want;
  demand->function = event.function;
  demand->retriable = event.retriable;
  demand->refused = 0;
  refresh(now, key);
  return true;
}

void DemandBook::forget(const OwnerKey& key) {
  const auto it = demands_.find(key);
  if (it == demands_.end()) return;
  assert(it->second.slots.empty());
  const std::uint32_t kind = it->second.kind;
  if (it->second.ticket != 0) kinds_.at(kind).line.erase(it->second.ticket);
  demands_.erase(it);
  drop_kind_if_unused(kind);
}

void DemandBook::refresh(base::Time now, const OwnerKey& key) {
  Demand* demand = find(key);
  if (!demand) return;
  const bool waits = demand->slots.size() < demand->want && owner(key.owner).has_room();
  if (waits == (demand->ticket != 0)) return;
  auto& line = kinds_.at(demand->kind).line;
  if (!waits) {
    line.erase(std::exchange(demand->ticket, 0));
    return;
  }
  demand->ticket = next_ticket_++;
  demand->since = demand->hungry_since = now;
  line.emplace(demand->ticket, key);
}

void DemandBook::to_the_end(base::Time now, const OwnerKey& key) {
  Demand* demand = find(key);
  if (!demand || demand->ticket == 0) return;
  kinds_.at(demand->kind).line.erase(std::exchange(demand->ticket, 0));
  refresh(now, key);
}

void DemandBook::queue_anew(base::Time now, const OwnerKey& key) {
  const Demand* demand = find(key);
  if (!demand) return;
  const base::Time hungry_since = demand->hungry_since;
  to_the_end(now, key);
  find(key)->hungry_since = hungry_since;
}

base::LeaseId DemandBook::ask_here(const OwnerKey& key) {
  const auto lease = base::LeaseId::from_words(self_.word(0), self_.word(1), next_lease_++, 0);
  Slot slot;
  slot.demand = key;
  slot.node = self_;
  slot.grant = owner(key.owner).issue();
  slot.ticket = demands_.at(key).ticket;
  slot.since = demands_.at(key).since;
  slot.hungry_since = demands_.at(key).hungry_since;
  slots_.emplace(lease, std::move(slot));
  demands_.at(key).slots.insert(lease);
  return lease;
}

bool DemandBook::may_ask(const base::NodeId& id) const {
  const auto it = peers_.find(id);
  return it == peers_.end() || it->second.has_room();
}

void DemandBook::ask_peer(base::Time now, const OwnerKey& key, const base::NodeId& id, base::Outbox<LeaseOutput>& out) {
  const base::LeaseId lease = ask_here(key);
  Slot& slot = slots_.at(lease);
  slot.node = id;
  slot.request = peer(id).issue();
  resend(now, lease, out);
}

void DemandBook::answered(Slot& slot) {
  if (slot.request == 0) return;
  if (const auto it = peers_.find(slot.node); it != peers_.end()) it->second.answered(slot.request);
}

void DemandBook::grant(base::Time now, const base::LeaseId& lease, base::WorkerId worker, std::string address,
                       base::Outbox<LeaseOutput>& out) {
  Slot& slot = slots_.at(lease);
  answered(slot);
  slot.phase = Phase::kGranted;
  slot.worker = worker;
  slot.address = std::move(address);
  resend(now, lease, out);
  refresh(now, slot.demand);
}

void DemandBook::acked(base::Time now, const base::LeaseId& lease) {
  Slot* s = slot(lease);
  if (!s || s->phase == Phase::kAsked) return;
  settle_grant(now, *s);
  if (!needs_resend(*s)) timers_.clear(lease);
}

// The owner knows of the grant, or never will.
void DemandBook::settle_grant(base::Time now, Slot& slot) {
  if (std::exchange(slot.acked, true)) return;
  const auto it = owners_.find(slot.demand.owner);
  if (it == owners_.end()) return;
  const bool was_full = !it->second.has_room();
  it->second.answered(slot.grant);
  if (!was_full || !it->second.has_room()) return;
  for (const OwnerKey& key : of_owner(slot.demand.owner)) refresh(now, key);
}

void DemandBook::lose(base::Time now, const base::LeaseId& lease, std::string cause, base::Outbox<LeaseOutput>& out) {
  Slot& slot = slots_.at(lease);
  answered(slot);
  if (Demand* demand = find(slot.demand)) demand->slots.erase(lease);
  slot.phase = Phase::kLost;
  slot.cause = std::move(cause);
  resend(now, lease, out);
  refresh(now, slot.demand);
}

void DemandBook::recall(base::Time now, const base::LeaseId& lease, base::Outbox<LeaseOutput>& out) {
  Slot* s = slot(lease);
  if (!s || s->recalled || s->phase != Phase::kGranted) return;
  s->recalled = true;
  resend(now, lease, out);
}

void DemandBook::end(base::Time now, const base::LeaseId& lease, WorkerFate fate, base::Outbox<LeaseOutput>& out) {
  Slot& slot = slots_.at(lease);
  if (slot.request == 0 || slot.phase == Phase::kReturning) {
    if (slot.phase != Phase::kReturning) erase(now, lease);
    return;
  }
  const OwnerKey key = slot.demand;
  if (Demand* demand = find(key)) demand->slots.erase(lease);
  settle_grant(now, slot);
  slot.phase = Phase::kReturning;
  slot.fate = fate;
  resend(now, lease, out);
  refresh(now, key);
}

void DemandBook::erase(base::Time now, const base::LeaseId& lease) {
  const auto it = slots_.find(lease);
  if (it == slots_.end()) return;
  Slot& slot = it->second;
  answered(slot);
  const OwnerKey key = slot.demand;
  if (Demand* demand = find(key)) demand->slots.erase(lease);
  settle_grant(now, slot);
  timers_.clear(lease);
  slots_.erase(it);
  refresh(now, key);
}

void DemandBook::rejected(base::Time now, const base::LeaseId& lease) {
  const Slot slot = slots_.at(lease);
  erase(now, lease);
  Demand* demand = find(slot.demand);
  if (!demand || demand->ticket == 0 || slot.ticket == 0 || slot.ticket >= demand->ticket) return;
  auto& line = kinds_.at(demand->kind).line;
  line.erase(demand->ticket);
  demand->ticket = slot.ticket;
  demand->since = slot.since;
  demand->hungry_since = slot.hungry_since;
  line.emplace(demand->ticket, slot.demand);
}

std::vector<OwnerKey> DemandBook::of_owner(const base::WorkerId& id) const {
  std::vector<OwnerKey> keys;
  for (auto it = demands_.lower_bound({id, 0}); it != demands_.end() && it->first.owner == id; ++it) {
    keys.push_back(it->first);
  }
  return keys;
}

std::vector<OwnerKey> DemandBook::of_job(const base::JobId& job) const {
  std::vector<OwnerKey> keys;
  for (const auto& [key, demand] : demands_) {
    if (demand.job == job) keys.push_back(key);
  }
  return keys;
}

void DemandBook::resend_due(base::Time now, base::Outbox<LeaseOutput>& out) {
  while (const auto lease = timers_.pop_due(now)) resend(now, *lease, out);
}

bool DemandBook::needs_resend(const Slot& slot) const {
  if (slot.phase == Phase::kAsked) return slot.request != 0;
  if (slot.phase == Phase::kGranted && planted(Mistake::kGrantSentOnce)) return false;
  if (slot.phase == Phase::kReturning && planted(Mistake::kPeerReturnSentOnce)) return false;
  return slot.phase != Phase::kGranted || !slot.acked || slot.recalled;
}

void DemandBook::resend(base::Time now, const base::LeaseId& lease, base::Outbox<LeaseOutput>& out) {
  const Slot& s = slots_.at(lease);
  const OwnerKey& key = s.demand;
  switch (s.phase) {
    case Phase::kAsked: {
      const Demand& demand = demands_.at(key);
      out.emplace_back(PeerDemand{s.node, s.request, peer(s.node).floor(), lease, key.owner, key.key, demand.job,
                                  kinds_.at(demand.kind).shape, kinds_.at(demand.kind).strategy.bundle,
                                  kinds_.at(demand.kind).strategy.priority, demand.function, demand.retriable});
      break;
    }
    case Phase::kGranted:
      if (!s.acked) {
        out.emplace_back(
            Grant{key.owner, key.key, lease, s.node, s.worker, s.address, s.grant, owner(key.owner).floor()});
      }
      if (s.recalled) out.emplace_back(Recall{key.owner, lease});
      break;
    case Phase::kLost: out.emplace_back(LeaseLost{key.owner, lease, s.cause}); break;
    case Phase::kReturning: out.emplace_back(PeerReturn{s.node, s.request, peer(s.node).floor(), lease, s.fate}); break;
  }
  if (needs_resend(s)) {
    timers_.set(lease, now + resend_every_);
  } else {
    timers_.clear(lease);
  }
}

std::uint32_t DemandBook::kind_of(const base::Resources& shape, const Strategy& strategy) {
  auto& [id, users] = kind_ids_[{shape, strategy}];
  if (users++ == 0) {
    id = next_kind_++;
    kinds_[id] = Kind{shape, strategy, {}, {}, 0};
  }
  return id;
}

void DemandBook::drop_kind_if_unused(std::uint32_t kind) {
  const auto it = kinds_.find(kind);
  const auto id = kind_ids_.find({it->second.shape, it->second.strategy});
  if (--id->second.second != 0) return;
  kind_ids_.erase(id);
  kinds_.erase(it);
}

bool DemandBook::is_valid() const {
  std::size_t lined = 0, held = 0;
  for (const auto& [id, kind] : kinds_) {
    lined += kind.line.size();
    for (const auto& [ticket, key] : kind.line) {
      const auto it = demands_.find(key);
      if (it == demands_.end() || it->second.ticket != ticket || it->second.kind != id) return false;
      if (it->second.slots.size() >= it->second.want) return false;
    }
  }
  for (const auto& [key, demand] : demands_) {
    lined -= demand.ticket != 0;
    held += demand.slots.size();
    for (const base::LeaseId& lease : demand.slots) {
      const auto it = slots_.find(lease);
      if (it == slots_.end() || it->second.demand != key) return false;
      if (it->second.phase != Phase::kAsked && it->second.phase != Phase::kGranted) return false;
    }
  }
  for (const auto& [lease, slot] : slots_) held -= slot.phase == Phase::kAsked || slot.phase == Phase::kGranted;
  return lined == 0 && held == 0;
}

}  // namespace mobula::scheduler
