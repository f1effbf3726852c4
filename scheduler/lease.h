#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"
#include "core/base/topology.h"
#include "scheduler/cluster_view.h"
#include "scheduler/lease_messages.h"
#include "scheduler/seat_book.h"
#include "scheduler/worker_pool.h"

namespace mobula::scheduler {

struct LeaseLimits {
  WorkerPoolLimits pool;
  ClusterView::Limits view;
  std::size_t demands_max = 65'536;  // (owner, key) pairs; further ones get no ack, so owners repeat.
  std::size_t leases_max = 65'536;
  std::uint64_t owner_window = 1'024;   // Grants to one owner that it has not acknowledged.
  std::uint64_t peer_window = 256;      // Unanswered requests to one peer.
  std::uint64_t actor_window = 4'096;   // Unanswered requests of the GCS for actors,
  std::uint64_t hold_window = 4'096;    // and for bundles.
  std::size_t gone_owners_max = 4'096;  // Remembered, so that a late demand revives nobody.
  base::Duration resend_every = std::chrono::milliseconds(500);
  base::Duration publish_every = std::chrono::milliseconds(10);
  base::Duration infeasible_grace{0};  // How long a shape that nobody could serve waits for new nodes.
  base::Duration recall_after = std::chrono::milliseconds(30);    // A demand waits so long before leases are recalled
  base::Duration lease_quantum = std::chrono::milliseconds(100);  // that were held at least so long.
  base::Duration starve_after = std::chrono::seconds(1);          // Then nothing overtakes the oldest demand
  base::Duration reserve_for = std::chrono::seconds(10);          // for so long, after which it queues anew.
  base::Duration priority_age = std::chrono::seconds(10);         // Each such wait counts as one more of priority.
};

// Decides which owner gets which worker of this node, and which node is asked when this one is full.
//
// Each (owner, key) that has fewer slots than it wants waits in one line per kind (shape and
// strategy); of the highest priority the demand that has waited longest comes first, takes one slot, and goes to the
// end.  A slot is a lease: it takes its resources when it is made, waits for a worker of its job if
// none is idle, and gives the resources back when it is returned or when its worker's process is
// gone, whichever makes it certain that nothing runs.  A demand that this node cannot serve now asks
// one other node at a time per slot; that node grants or rejects from its own books and never
// passes the request on.  When others wait, the oldest leases of whoever holds most are recalled, those of a lower
// priority before.
//
// Messages may be lost, repeated or reordered: each request is repeated until answered and known by its
// lease id or sequence number.  A lease dies with its owner (the worker is killed), with its home
// raylet and with its own node.
//
// Invariant: total - available == the sum of what all leases here hold (without cpus while blocked).
// Nothing is granted that does not fit.  Counts stay within limits.
// Not thread-safe; owned by the raylet's control loop.
class LeaseMachine {
 public:
  using Input = LeaseInput;
  using Output = LeaseOutput;

  struct Self {
    base::NodeId node;
    base::Resources total;
    Labels labels;
    base::Topology topology{};  // Empty: nothing is known.
  };

  LeaseMachine(Self self, LeaseLimits limits);
  ~LeaseMachine();

  void step(base::Time now, LeaseInput input, base::Outbox<LeaseOutput>& out);
  void tick(base::Time now, base::Outbox<LeaseOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  const SeatBook& seats() const;
  const base::Resources& available() const;  // Below zero while over-committed.

  struct Counts {
    std::size_t demands = 0;        // (owner, key) pairs that are known.
    std::size_t waiting_slots = 0;  // Wanted and not there.
    std::size_t leases = 0;         // On workers of this node, those that wait for one included.
    std::size_t away = 0;           // On workers of other nodes, for owners of this one.
    std::size_t workers = 0, idle_workers = 0, starting_workers = 0;
  };
  Counts counts() const;

  // What of the owners here waits for room, and what for; the longest waiting first.
  struct Wait {
    base::WorkerId owner;
    base::JobId job;
    std::string function;
    base::Resources shape;
    std::int32_t priority = 0;
    std::uint32_t slots = 0;
    base::Time since{};
    Infeasible why;
  };
  std::vector<Wait> waits(base::Time now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::scheduler
