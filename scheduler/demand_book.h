#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/request_window.h"
#include "core/base/resources.h"
#include "core/base/timers.h"
#include "scheduler/lease_messages.h"

namespace mobula::scheduler {

struct OwnerKey {
  base::WorkerId owner;
  std::uint32_t key = 0;
  auto operator<=>(const OwnerKey&) const = default;
};

// The half of the lease machine that speaks for the owners of this node: what each of them wants, in which order they
// are served, and the slots that they have been given, here or on other nodes.
//
// A slot is asked of a node, then granted to the owner, and ends by the owner's return, by loss, or with its
// owner.  It is named by its lease id from the first request on.
//
// Invariant: a demand stands in the line of its kind iff it has fewer slots than it wants, the job and the owner
// live, and the owner's window has room.
class DemandBook {
 public:
  enum class Phase : unsigned char {
    kAsked = 1,
    kGranted,
    kLost,       // The owner has to be told; its LeaseReturned ends it.
    kReturning,  // To a peer that has not confirmed it.
  };
  struct Slot {
    OwnerKey demand;
    base::NodeId node;
    Phase phase = Phase::kAsked;
    std::uint64_t request = 0;  // At the peer; 0 here.
    base::WorkerId worker;
    std::string address;
    std::uint64_t grant = 0;   // Number of the grant to the owner, kept for it from the first request on.
    std::uint64_t ticket = 0;  // The demand's place when it was asked for, given back on refusal.
    base::Time since{}, hungry_since{};
    bool acked = false;
    bool recalled = false;
    WorkerFate fate = WorkerFate::kReusable;  // Of kReturning.
    std::string cause;                        // Of kLost.
  };
  struct Demand {
    base::JobId job;
    std::uint32_t kind = 0;
    std::string function;  // For people.
    bool retriable = false;
    std::uint32_t want = 0;
    std::uint32_t refused = 0;  // What it wanted when it was answered with Unschedulable; want is 0 then.
    std::uint64_t seq = 0;
    std::uint64_t ticket = 0;       // Place in the line; 0: not in it.
    base::Time since{};             // When it came to that place.
    base::Time hungry_since{};      // When it last got something, or came; grows its priority.
    std::set<base::LeaseId> slots;  // kAsked and kGranted.
  };
  struct Kind {
    base::Resources shape;
    Strategy strategy;
    std::map<std::uint64_t, OwnerKey> line;  // By ticket: who has waited longest comes first.
    std::optional<base::Time> infeasible_since;
    std::uint64_t feasible_checked = 0;  // ClusterView::shape_version() of the last look.
  };

  DemandBook(base::NodeId self, std::uint64_t owner_window, std::uint64_t peer_window, base::Duration resend_every)
      : self_(self), owner_window_(owner_window), peer_window_(peer_window), resend_every_(resend_every) {}

  Demand* find(const OwnerKey& key);
  const std::map<OwnerKey, Demand>& demands() const { return demands_; }
  const std::map<base::LeaseId, Slot>& slots() const { return slots_; }
  Slot* slot(const base::LeaseId& lease);
  std::map<std::uint32_t, Kind>& kinds() { return kinds_; }
  const std::map<std::uint32_t, Kind>& kinds() const { return kinds_; }

  // Makes or changes a demand; false when it is older than what is known.
  bool set(base::Time now, const DemandSet& event);
  void forget(const OwnerKey& key);  // The demand and its place; its slots must be gone or kReturning, kLost.
  void refresh(base::Time now, const OwnerKey& key);     // Puts it into its line or takes it out.
  void to_the_end(base::Time now, const OwnerKey& key);  // It was served.
  void queue_anew(base::Time now, const OwnerKey& key);  // It was not, and lets others pass.

  // Slots.  Each appends the message that the change calls for.
  base::LeaseId ask_here(const OwnerKey& key);
  bool may_ask(const base::NodeId& peer) const;  // Its window has room.
  void ask_peer(base::Time now, const OwnerKey& key, const base::NodeId& peer, base::Outbox<LeaseOutput>& out);
  void answered(Slot& slot);
  void grant(base::Time now, const base::LeaseId& lease, base::WorkerId worker, std::string address,
             base::Outbox<LeaseOutput>& out);
  void acked(base::Time now, const base::LeaseId& lease);
  void lose(base::Time now, const base::LeaseId& lease, std::string cause, base::Outbox<LeaseOutput>& out);
  void recall(base::Time now, const base::LeaseId& lease, base::Outbox<LeaseOutput>& out);
  // The slot leaves its demand: erased when it was here, kReturning when a peer must be told.
  void end(base::Time now, const base::LeaseId& lease, WorkerFate fate, base::Outbox<LeaseOutput>& out);
  void erase(base::Time now, const base::LeaseId& lease);
  void rejected(base::Time now, const base::LeaseId& lease);
  void forget_owner(const base::WorkerId& owner) { owners_.erase(owner); }
  void forget_peer(const base::NodeId& peer) { peers_.erase(peer); }
  std::uint64_t floor_for(const base::NodeId& id) { return peer(id).floor(); }

  std::vector<OwnerKey> of_owner(const base::WorkerId& owner) const;
  std::vector<OwnerKey> of_job(const base::JobId& job) const;

  void resend_due(base::Time now, base::Outbox<LeaseOutput>& out);
  std::optional<base::Time> next_deadline() const { return timers_.next(); }
  bool is_valid() const;

 private:
  std::uint32_t kind_of(const base::Resources& shape, const Strategy& strategy);
  void drop_kind_if_unused(std::uint32_t kind);
  void resend(base::Time now, const base::LeaseId& lease, base::Outbox<LeaseOutput>& out);
  bool needs_resend(const Slot& slot) const;
  void settle_grant(base::Time now, Slot& slot);
  base::RequestSender& owner(const base::WorkerId& id) { return owners_.try_emplace(id, owner_window_).first->second; }
  base::RequestSender& peer(const base::NodeId& id) { return peers_.try_emplace(id, peer_window_).first->second; }

  const base::NodeId self_;
  const std::uint64_t owner_window_;
  const std::uint64_t peer_window_;
  const base::Duration resend_every_;
  std::uint64_t next_lease_ = 1;
  std::uint64_t next_ticket_ = 1;
  std::uint32_t next_kind_ = 1;
  std::map<OwnerKey, Demand> demands_;
  std::map<std::uint32_t, Kind> kinds_;
  std::map<std::pair<base::Resources, Strategy>, std::pair<std::uint32_t, std::size_t>> kind_ids_;  // Id, users.
  std::map<base::LeaseId, Slot> slots_;
  std::map<base::WorkerId, base::RequestSender> owners_;
  std::map<base::NodeId, base::RequestSender> peers_;
  base::Timers<base::LeaseId> timers_;
};

}  // namespace mobula::scheduler
