#include <utility>

#include "scheduler/lease_state.h"
#include "scheduler/planted.h"

namespace mobula::scheduler {

using Phase = DemandBook::Phase;
using Holder = SeatBook::Holder;

// ---- as the node that is asked

void LeaseMachine::State::on(base::Time now, PeerDemand&& event, Out& out) {
  if (view.is_dead(event.peer)) return;
  const auto fate = peers.try_emplace(event.peer, limits.peer_window).first->second.receive(event.request, event.floor);
  if (fate == base::RequestReceiver::Fate::kStale || fate == base::RequestReceiver::Fate::kBeyond) return;
  const SeatBook::Seat* seat = seats.find(event.lease);
  const auto where = fits_here(event.shape, event.bundle);
  if (fate == base::RequestReceiver::Fate::kNew && !seat && where && !seats.pool().has_ended(event.job) &&
      seats.seats().size() < limits.leases_max) {
    const Holder holder{Holder::Kind::kPeer, event.peer,     event.owner,    event.key, {},
                        event.priority,      event.function, event.retriable};
    seats.take(now, event.lease, holder, event.job, std::move(event.shape), *where);
    return;
  }
  if (!seat || seat->phase == SeatBook::Phase::kLeaving) {
    out.emplace_back(PeerReject{event.peer, event.lease, seats.available()});
    // It will ask again in a moment: what others hold longest may be free by then.
    if (fate == base::RequestReceiver::Fate::kNew) {
      const Waiter waiter{event.peer, {event.owner, event.key}, event.priority, event.priority};
      recall_for(now, waiter, event.shape, event.bundle, out);
    }
  } else if (seat->phase != SeatBook::Phase::kWaiting) {
    tell_holder(now, event.lease, out);
  }
}

void LeaseMachine::State::on(base::Time now, PeerReturn&& event, Out& out) {
  if (view.is_dead(event.peer)) return;
  peers.try_emplace(event.peer, limits.peer_window).first->second.receive(event.request, event.floor);
  told.clear(event.lease);
  const SeatBook::Seat* seat = seats.find(event.lease);
  if (seat && seat->holder.kind == Holder::Kind::kPeer && seat->holder.peer == event.peer) {
    seats.release(now, event.lease, event.fate, StopMode::kKill, out);
  }
  out.emplace_back(PeerReturned{event.peer, event.lease});
}

void LeaseMachine::State::on(base::Time now, ActorLease&& event, Out& out) {
  const auto fate = gcs.receive(event.request, event.floor);
  if (fate == base::RequestReceiver::Fate::kStale || fate == base::RequestReceiver::Fate::kBeyond) return;
  const SeatBook::Seat* seat = seats.find(event.lease);
  const auto where = fits_here(event.shape, event.bundle);
  if (fate == base::RequestReceiver::Fate::kNew && !seat && where && seats.seats().size() < limits.leases_max) {
    const Holder holder{Holder::Kind::kGcs, {}, {}, 0, event.actor};
    seats.take(now, event.lease, holder, event.job, std::move(event.shape), *where);
    return;
  }
  if (!seat || seat->phase == SeatBook::Phase::kLeaving) {
    out.emplace_back(
        ActorReject{self.node, event.lease, event.actor, ActorReject::Reason::kNoRoom, {}, seats.available()});
    if (fate == base::RequestReceiver::Fate::kNew) {
      recall_for(now, {{}, {}, kPriorityMax, kPriorityMax}, event.shape, event.bundle, out);
    }
  } else if (seat->phase != SeatBook::Phase::kWaiting) {
    tell_holder(now, event.lease, out);
  }
}

void LeaseMachine::State::on(base::Time now, ActorRelease&& event, Out& out) {
  gcs.receive(event.request, event.floor);
  told.clear(event.lease);
  const SeatBook::Seat* seat = seats.find(event.lease);
  if (seat && seat->holder.kind == Holder::Kind::kGcs) {
    seats.release(now, event.lease, WorkerFate::kSpent, event.mode, out);
  }
  out.emplace_back(ActorReleased{self.node, event.lease});
}

// Says how a seat stands to a holder on another node.
void LeaseMachine::State::tell_holder(base::Time now, const base::LeaseId& lease, Out& out) {
  const SeatBook::Seat* seat = seats.find(lease);
  if (!seat || seat->phase == SeatBook::Phase::kLeaving || seat->phase == SeatBook::Phase::kWaiting) return;
  const bool lost = seat->phase == SeatBook::Phase::kLost;
  const Holder& holder = seat->holder;
  const std::string address = lost ? std::string() : seats.pool().find(seat->worker)->address;
  if (holder.kind == Holder::Kind::kGcs) {
    if (lost) {
      out.emplace_back(ActorLost{self.node, lease, holder.actor, seat->cause});
    } else {
      out.emplace_back(ActorGrant{self.node, lease, holder.actor, seat->worker, address});
    }
  } else if (lost) {
    out.emplace_back(PeerLost{holder.peer, lease, seat->cause});
  } else {
    out.emplace_back(PeerGrant{holder.peer, lease, seat->worker, address});
  }
  if (lost) told.set(lease, now + limits.resend_every);
}

void LeaseMachine::State::tell_again(base::Time now, const base::LeaseId& lease, Out& out) {
  const SeatBook::Seat* seat = seats.find(lease);
  if (!seat) return;
  if (seat->phase == SeatBook::Phase::kLost) return tell_holder(now, lease, out);
  if (seat->phase != SeatBook::Phase::kHeld || !seat->recalled) return;
  out.emplace_back(PeerRecall{seat->holder.peer, lease});
  told.set(lease, now + limits.resend_every);
}

void LeaseMachine::State::route(base::Time now, SeatBook::Event&& event, Out& out) {
  using Kind = SeatBook::Event::Kind;
  if (event.kind == Kind::kFailed) {
    if (event.holder.kind == Holder::Kind::kPeer) {
      out.emplace_back(PeerReject{event.holder.peer, event.lease, seats.available()});
    } else if (event.holder.kind == Holder::Kind::kHome) {
      demands.erase(now, event.lease);  // It stands in its line again.
    } else {
      out.emplace_back(
          ActorReject{self.node, event.lease, event.holder.actor,
                      event.cause.empty() ? ActorReject::Reason::kNoRoom : ActorReject::Reason::kStartFailed,
                      std::move(event.cause), seats.available()});
    }
    return;
  }
  if (event.holder.kind != Holder::Kind::kHome) return tell_holder(now, event.lease, out);
  const SeatBook::Seat* seat = seats.find(event.lease);
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (!seat || !slot) return;
  if (event.kind == Kind::kReady && seat->phase == SeatBook::Phase::kHeld) {
    demands.grant(now, event.lease, seat->worker, seats.pool().find(seat->worker)->address, out);
  } else if (event.kind == Kind::kLost && slot->phase != Phase::kLost) {
    demands.lose(now, event.lease, seat->cause, out);
  }
}

// ---- as the home raylet of the owner

void LeaseMachine::State::on(base::Time now, PeerGrant&& event, Out& out) {
  DemandBook::Slot* slot = demands.slot(event.lease);
  if (!slot) {
    if (view.is_dead(event.peer)) return;
    out.emplace_back(PeerReturn{event.peer, 0, demands.floor_for(event.peer), event.lease, WorkerFate::kReusable});
    return;
  }
  if (slot->phase != Phase::kAsked || slot->node != event.peer) return;
  const DemandBook::Demand* demand = demands.find(slot->demand);
  if (demand->slots.size() > demand->want) {
    end_slot(now, event.lease, WorkerFate::kReusable, out);
  } else {
    demands.grant(now, event.lease, event.worker, std::move(event.address), out);
  }
}

void LeaseMachine::State::on(base::Time now, PeerReject&& event, Out&) {
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (!slot || slot->phase != Phase::kAsked || slot->node != event.peer) return;
  demands.rejected(now, event.lease);
  view.refused(now, event.peer);
}

void LeaseMachine::State::on(base::Time now, PeerReturned&& event, Out&) {
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (slot && slot->phase == Phase::kReturning && slot->node == event.peer) demands.erase(now, event.lease);
}

void LeaseMachine::State::on(base::Time now, PeerLost&& event, Out& out) {
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (!slot) {
    if (view.is_dead(event.peer)) return;
    out.emplace_back(PeerReturn{event.peer, 0, demands.floor_for(event.peer), event.lease, WorkerFate::kSpent});
  } else if (slot->phase == Phase::kAsked) {
    end_slot(now, event.lease, WorkerFate::kSpent, out);
  } else if (slot->phase == Phase::kGranted) {
    demands.lose(now, event.lease, std::move(event.cause), out);
  }
}

void LeaseMachine::State::on(base::Time now, PeerRecall&& event, Out& out) {
  const DemandBook::Slot* slot = demands.slot(event.lease);
  if (slot && slot->node == event.peer) demands.recall(now, event.lease, out);
}

void LeaseMachine::State::on(base::Time now, NodeView&& event, Out& out) {
  if (event.node == self.node) return view.set_actors(self.node, event.actors);
  if (!view.apply(event)) return;
  if (event.state == NodeState::kDead) node_dead(now, event.node, out);
}

void LeaseMachine::State::node_dead(base::Time now, const base::NodeId& node, Out& out) {
  std::vector<base::LeaseId> held, asked;
  for (const auto& [lease, seat] : seats.seats()) {
    if (seat.holder.kind == Holder::Kind::kPeer && seat.holder.peer == node) held.push_back(lease);
  }
  if (planted(Mistake::kDeadHomeForgotten)) held.clear();
  for (const base::LeaseId& lease : held) {
    told.clear(lease);
    seats.release(now, lease, WorkerFate::kSpent, StopMode::kKill, out);
  }
  for (const auto& [lease, slot] : demands.slots()) {
    if (slot.node == node) asked.push_back(lease);
  }
  for (const base::LeaseId& lease : asked) {
    const Phase phase = demands.slot(lease)->phase;
    if (phase == Phase::kAsked || phase == Phase::kReturning) demands.erase(now, lease);
    if (phase == Phase::kGranted) demands.lose(now, lease, "its node " + node.short_hex() + " died", out);
    if (DemandBook::Slot* slot = demands.slot(lease)) slot->request = 0;
  }
  demands.forget_peer(node);
  peers.erase(node);
}

}  // namespace mobula::scheduler
