#pragma once

#include <cstdint>
#include <string>
#include <variant>

#include "core/base/ids.h"
#include "core/base/resources.h"
#include "scheduler/actor_lease.h"
#include "scheduler/bundle_messages.h"
#include "scheduler/cluster_view.h"
#include "scheduler/strategy.h"
#include "scheduler/worker_pool.h"

namespace mobula::scheduler {

// ---- Owner and its own raylet -------------------------------------------------------------------

// "For my key I want `want` worker slots in all."  Absolute, so losing or repeating one is harmless;
// repeated until DemandAck or Unschedulable with this seq.  Shape, strategy and job belong to the key
// and never change.
struct DemandSet {
  base::WorkerId owner;
  std::uint32_t key = 0;  // Counted by the owner.
  base::JobId job;
  base::Resources shape;
  Strategy strategy;
  std::uint32_t want = 0;
  std::uint64_t seq = 0;   // Grows with each change of this key; older ones are ignored.
  std::string function{};  // What runs there; for people.
  bool retriable = false;  // It is run again when its worker dies.
};
struct GrantAcked {
  base::WorkerId owner;
  base::LeaseId lease;
};
struct LeaseReturned {  // Repeated until ReturnAck.  Also what answers LeaseLost.
  base::WorkerId owner;
  base::LeaseId lease;
  WorkerFate fate = WorkerFate::kReusable;
};
// The owner's process is gone.  A WorkerGone says the same of a worker; no need to send both.
struct OwnerGone {
  base::WorkerId owner;
};

struct DemandAck {
  base::WorkerId owner;
  std::uint32_t key = 0;
  std::uint64_t seq = 0;
};
struct Grant {  // Repeated until GrantAcked or LeaseReturned.
  base::WorkerId owner;
  std::uint32_t key = 0;
  base::LeaseId lease;
  base::NodeId node;  // Where the worker is.
  base::WorkerId worker;
  std::string address;
  std::uint64_t seq = 0;  // RequestWindow of (this raylet, owner).
  std::uint64_t floor = 0;
};
struct ReturnAck {
  base::WorkerId owner;
  base::LeaseId lease;
};
struct LeaseLost {  // Its worker or node is gone; repeated until LeaseReturned.
  base::WorkerId owner;
  base::LeaseId lease;
  std::string cause;
};
struct Recall {  // Others wait: give the lease back when what is pushed has ended.  Repeated.
  base::WorkerId owner;
  base::LeaseId lease;
};
struct Unschedulable {  // No node could ever serve it.  Repeated until a DemandSet with a newer seq.
  base::WorkerId owner;
  std::uint32_t key = 0;
  std::uint64_t seq = 0;
  base::Resources shape;
  Infeasible why;
};

// ---- Raylet and raylet.  `peer` is whom it is sent to, or who sent it. ----------------------------

struct PeerDemand {  // One slot, to be granted or rejected at once, never passed on.
  base::NodeId peer;
  std::uint64_t request = 0;  // RequestWindow of (home raylet, peer).
  std::uint64_t floor = 0;
  base::LeaseId lease;  // Minted by the home raylet; the name of the slot from now on.
  base::WorkerId owner;
  std::uint32_t key = 0;
  base::JobId job;
  base::Resources shape;
  BundleRef bundle;
  std::int32_t priority = 0;
  std::string function{};
  bool retriable = false;
};
struct PeerGrant {
  base::NodeId peer;
  base::LeaseId lease;
  base::WorkerId worker;
  std::string address;
};
struct PeerReject {
  base::NodeId peer;
  base::LeaseId lease;
  base::Resources available;
};
struct PeerReturn {  // Repeated until PeerReturned.  May overtake its PeerDemand, hence `request`.
  base::NodeId peer;
  std::uint64_t request = 0;
  std::uint64_t floor = 0;
  base::LeaseId lease;
  WorkerFate fate = WorkerFate::kReusable;
};
struct PeerReturned {
  base::NodeId peer;
  base::LeaseId lease;
};
struct PeerLost {  // Repeated until PeerReturn.
  base::NodeId peer;
  base::LeaseId lease;
  std::string cause;
};
struct PeerRecall {
  base::NodeId peer;
  base::LeaseId lease;
};

// ---- The node itself ----------------------------------------------------------------------------

struct JobStarted {  // Workers are started ahead of demand.
  base::JobId job;
};
struct JobEnded {  // Its demands are forgotten, its workers stopped, actors' workers excepted.
  base::JobId job;
};
struct WorkerReady {
  base::WorkerId worker;
  base::JobId job;
  std::string address;
};
struct WorkerGone {
  base::WorkerId worker;
  std::string cause;  // "exit code 3", "signal 11 (SIGSEGV)"; goes to owners as it is.
};
// The task of a leased worker waits in get: its cpus serve others meanwhile.  Unblocking takes them
// back at once, so that no wake-up waits for the raylet: until others end, the node is over-committed
// by at most what was blocked, and nothing new is granted.
struct WorkerBlocked {
  base::WorkerId worker;
};
struct WorkerUnblocked {
  base::WorkerId worker;
};
struct StartFailed {  // `count` of the workers asked for by StartWorkers will not come.
  base::JobId job;
  std::uint32_t count = 0;
  std::string cause;  // As that of WorkerGone.
};

// For the node's own entry in other nodes' views.  At most one per publish_every.
struct AvailabilityChanged {
  std::uint64_t version = 0;
  base::Resources available;  // May be below zero while over-committed.
};

using LeaseInput = std::variant<DemandSet, GrantAcked, LeaseReturned, OwnerGone, PeerDemand, PeerGrant, PeerReject,
                                PeerReturn, PeerReturned, PeerLost, PeerRecall, ActorLease, ActorRelease, JobStarted,
                                JobEnded, WorkerReady, WorkerGone, WorkerBlocked, WorkerUnblocked, StartFailed,
                                NodeView, GroupNews, PrepareBundles, CommitBundles, ReleaseBundles>;
using LeaseOutput = std::variant<DemandAck, Grant, ReturnAck, LeaseLost, Recall, Unschedulable, PeerDemand, PeerGrant,
                                 PeerReject, PeerReturn, PeerReturned, PeerLost, PeerRecall, ActorGrant, ActorReject,
                                 ActorLost, ActorReleased, BundlesPrepared, BundlesRefused, BundlesCommitted,
                                 BundlesReleased, StartWorkers, StopWorker, AvailabilityChanged>;

}  // namespace mobula::scheduler
