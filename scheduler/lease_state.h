#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/base/request_window.h"
#include "scheduler/cluster_view.h"
#include "scheduler/demand_book.h"
#include "scheduler/lease.h"
#include "scheduler/seat_book.h"

namespace mobula::scheduler {

// What LeaseMachine is made of: the seats here, the demands of the owners here, and the view of the
// others.  Each on() takes one input; settle() then brings the parts to rest.
struct LeaseMachine::State {
  State(Self self, LeaseLimits limits);

  using Out = base::Outbox<LeaseOutput>;

  // lease.cc: owners and this node.
  void on(base::Time now, DemandSet&& event, Out& out);
  void on(base::Time now, GrantAcked&& event, Out& out);
  void on(base::Time now, LeaseReturned&& event, Out& out);
  void on(base::Time now, OwnerGone&& event, Out& out);
  void on(base::Time now, JobStarted&& event, Out& out);
  void on(base::Time now, JobEnded&& event, Out& out);
  void on(base::Time now, WorkerReady&& event, Out& out);
  void on(base::Time now, WorkerGone&& event, Out& out);
  void on(base::Time now, WorkerBlocked&& event, Out& out);
  void on(base::Time now, WorkerUnblocked&& event, Out& out);
  void on(base::Time now, StartFailed&& event, Out& out);
  // lease_peers.cc: other raylets and the GCS.
  void on(base::Time now, PeerDemand&& event, Out& out);
  void on(base::Time now, PeerGrant&& event, Out& out);
  void on(base::Time now, PeerReject&& event, Out& out);
  void on(base::Time now, PeerReturn&& event, Out& out);
  void on(base::Time now, PeerReturned&& event, Out& out);
  void on(base::Time now, PeerLost&& event, Out& out);
  void on(base::Time now, PeerRecall&& event, Out& out);
  void on(base::Time now, ActorLease&& event, Out& out);
  void on(base::Time now, ActorRelease&& event, Out& out);
  void on(base::Time now, NodeView&& event, Out& out);
  // lease_bundles.cc: placement groups.
  void on(base::Time now, GroupNews&& event, Out& out);
  void on(base::Time now, PrepareBundles&& event, Out& out);
  void on(base::Time now, CommitBundles&& event, Out& out);
  void on(base::Time now, ReleaseBundles&& event, Out& out);
  void route(base::Time now, SeatBook::Event&& event, Out& out);
  void tell_holder(base::Time now, const base::LeaseId& lease, Out& out);
  void tell_again(base::Time now, const base::LeaseId& lease, Out& out);
  void node_dead(base::Time now, const base::NodeId& node, Out& out);

  // lease_place.cc: who gets what.
  void settle(base::Time now, Out& out);
  void place(base::Time now, Out& out);
  bool place_one(base::Time now, const OwnerKey& key, DemandBook::Kind& kind, Out& out);
  std::int32_t urgency(base::Time now, const DemandBook::Kind& kind) const;  // Of the first in its line.
  bool serves_here(const DemandBook::Kind& kind) const;                      // When it is empty.
  // Where a seat would be taken now; see SeatBook::room_for().
  std::optional<BundleRef> fits_here(const base::Resources& shape, const BundleRef& bundle) const;
  bool could_drain_for(const base::Resources& shape) const;
  void check_feasible(base::Time now, Out& out);
  void refuse(base::Time now, const OwnerKey& key, const Infeasible& why, Out& out);
  void refuse_again(base::Time now, Out& out);
  void recall_for_waiting(base::Time now, Out& out);
  // Who waits for room here: `home` is nil for this node's own owners, and all of it for the GCS.
  struct Waiter {
    base::NodeId home;
    OwnerKey key;
    std::int32_t priority = 0;
    std::int32_t urgency = 0;  // Priority, grown with the wait.
  };
  void recall_for(base::Time now, const Waiter& waiter, const base::Resources& shape, const BundleRef& bundle,
                  Out& out);
  void publish(base::Time now, Out& out);

  // Ends a slot of an owner here, wherever it is.
  void end_slot(base::Time now, const base::LeaseId& lease, WorkerFate fate, Out& out);
  void trim(base::Time now, const OwnerKey& key, Out& out);
  void drop_demand(base::Time now, const OwnerKey& key, Out& out);
  void owner_gone(base::Time now, const base::WorkerId& owner, Out& out);

  const Self self;
  const LeaseLimits limits;
  ClusterView view;
  SeatBook seats;
  DemandBook demands;
  std::map<base::NodeId, base::RequestReceiver> peers;  // Alive ones.
  base::RequestReceiver gcs;
  base::RequestReceiver holds;       // Of the GCS, for bundles.
  base::Timers<OwnerKey> refusals;   // Demands answered with Unschedulable, until the owner's next word.
  base::Timers<base::LeaseId> told;  // Seats whose holder elsewhere has to be told again.
  std::set<base::WorkerId> gone_owners;
  std::deque<base::WorkerId> gone_order;  // Oldest first; as many as gone_owners.
  std::vector<base::Resources> reserved;  // Shapes that nothing may overtake, of the last place().
  std::optional<base::Time> retry_at;     // place() may succeed then without any other input.
  std::optional<base::Time> recall_at;
  std::uint64_t version = 0;
  base::Resources published;
  base::Time published_at{};
};

}  // namespace mobula::scheduler
