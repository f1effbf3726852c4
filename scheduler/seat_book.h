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
#include "core/base/resources.h"
#include "core/base/timers.h"
#include "scheduler/lease_messages.h"
#include "scheduler/node_room.h"
#include "scheduler/worker_pool.h"

namespace mobula::scheduler {

// The half of the lease machine that runs things: the leases on this node's workers, whoever holds them,
// and the resources that they take.
//
// A seat takes its resources at once, then waits for a worker.  Released or lost, it gives them back as
// soon as nothing of it can run any more: at once when the worker is idle again, else when its
// process is gone.
//
// A worker that has used GPUs keeps contexts on them.  A seat on the same GPUs takes it again; one of somebody else
// there asks it to leave and waits until it has, unless both fit beside each other or it must stay for its objects.
//
// Bundles of placement groups are held here too.  A hold takes its amounts and pieces when it is prepared; once it is
// committed, seats inside a bundle take from what the bundle has, not from the node.  A hold that is dropped stays
// until the last of its seats is gone.
//
// Invariant: total - available == the sum of held() over all seats outside bundles and of the shapes of all holds;
// and so for each bundle and the seats inside.
class SeatBook {
 public:
  struct Holder {
    enum class Kind : unsigned char { kHome = 1, kPeer, kGcs };
    Kind kind = Kind::kHome;
    base::NodeId peer;     // Of kPeer.
    base::WorkerId owner;  // Of kHome and kPeer.
    std::uint32_t key = 0;
    base::ActorId actor;  // Of kGcs.
    std::int32_t priority = 0;
    std::string function{};  // Of kHome and kPeer; for people.
    bool retriable = false;  // Of kHome and kPeer.
  };
  enum class Phase : unsigned char {
    kWaiting = 1,  // For a worker.
    kHeld,
    kLost,     // The worker is gone, the holder has not confirmed that it knows.  Holds nothing.
    kLeaving,  // The holder is done with it, the worker is asked to go.
  };
  struct Seat {
    Holder holder;
    base::JobId job;
    base::Resources shape;
    BundleRef bundle;  // Which one it is inside of; none: the node itself.
    Pieces pieces;     // Its GPUs; the PUs are those of its bundle.
    Phase phase = Phase::kWaiting;
    base::WorkerId worker;  // Of kHeld and kLeaving.
    bool blocked = false;
    bool recalled = false;
    base::Time since{};  // When it was held.
    std::string cause;   // Of kLost.
  };
  struct Event {
    enum class Kind : unsigned char { kReady = 1, kLost, kFailed };  // A failed seat is gone already.
    Kind kind;
    base::LeaseId lease;
    Holder holder;
    std::string cause;  // Of kFailed; empty when no worker failed, but its bundle went.
  };

  // The topology outlives this.
  SeatBook(base::NodeId node, base::Resources total, const base::Topology& topology, WorkerPoolLimits limits);
  SeatBook(const SeatBook&) = delete;
  SeatBook& operator=(const SeatBook&) = delete;

  const base::Resources& available() const { return available_; }
  const std::map<base::LeaseId, Seat>& seats() const { return seats_; }
  const Seat* find(const base::LeaseId& lease) const;
  WorkerPool& pool() { return pool_; }
  const WorkerPool& pool() const { return pool_; }

  // Where a seat of the shape could be taken now: the node itself when `wish` names no group, else one of the bundles
  // that it means.
  std::optional<BundleRef> room_for(const base::Resources& shape, const BundleRef& wish) const;
  // As above, were there no other seats.
  bool could_serve(const base::Resources& shape, const BundleRef& wish) const;
  const base::Resources& available_in(const BundleRef& bundle) const;  // The node's own for no bundle.

  // REQUIRES: room_for(shape, ...) gave `where`; the lease is new.
  void take(base::Time now, const base::LeaseId& lease, Holder holder, const base::JobId& job, base::Resources shape,
            const BundleRef& where);

  // False, and nothing taken, when not all of it is free.
  bool prepare(const base::LeaseId& hold, const base::PlacementGroupId& group, std::vector<HeldBundle> bundles);
  bool holds(const base::LeaseId& hold) const { return holds_.contains(hold) && !holds_.at(hold).leaving; }
  void commit(const base::LeaseId& hold);
  // Kills the seats inside.  Harmless for a hold that is not there.
  void drop(const base::LeaseId& hold, base::Outbox<LeaseOutput>& out);
  const NodeRoom& pieces() const { return pieces_; }
  const Pieces* pieces_of(const BundleRef& bundle) const;  // Null for a bundle that may not be used.
  // The holder is done with it.  Harmless for a seat that is not there.
  void release(base::Time now, const base::LeaseId& lease, WorkerFate fate, StopMode mode,
               base::Outbox<LeaseOutput>& out);
  void mark_recalled(const base::LeaseId& lease) { seats_.at(lease).recalled = true; }

  void worker_ready(base::Time now, const WorkerReady& event);
  void worker_gone(const WorkerGone& event);
  void set_blocked(const base::WorkerId& worker, bool blocked);
  void start_failed(base::Time now, const StartFailed& event);

  // Gives workers to seats that wait, asks for more, lets idle ones go.
  void settle(base::Time now, base::Outbox<LeaseOutput>& out);
  std::optional<base::Time> next_deadline() const { return pool_.next_deadline(); }
  std::vector<Event> take_events();

  static base::Resources held(const Seat& seat);
  bool is_valid() const;

 private:
  struct Pool {  // A bundle that may be used.
    base::LeaseId hold;
    base::Resources total, available;
    std::vector<std::uint16_t> gpus;
    std::vector<base::Amount> gpu_room;
    std::size_t seats = 0;
    bool leaving = false;
  };
  struct Hold {
    base::PlacementGroupId group;
    std::vector<HeldBundle> bundles;
    bool committed = false, leaving = false;
  };
  static std::optional<Pieces> gpus_in(const Pool& pool, const base::Resources& shape);
  base::Resources& room_of(const Seat& seat);
  void give_back(const Seat& seat, const base::Resources& amounts);  // And its pieces and its place.
  void finish_leaving();
  void seat_worker(base::Time now, const base::LeaseId& lease, Seat& seat, const base::WorkerId& worker);
  static GpuUse use_of(const Seat& seat) { return {seat.pieces.gpus, seat.pieces.gpu_share}; }
  bool clear_gpus(const Seat& seat, base::Outbox<LeaseOutput>& out);
  void forget_waiting(const base::JobId& job, const base::LeaseId& lease);

  const base::Resources total_;
  base::Resources available_;
  NodeRoom pieces_;  // Of which only the pieces count; the amounts are `available_`.
  std::map<BundleRef, Pool> pools_;
  std::map<base::LeaseId, Hold> holds_;
  WorkerPool pool_;
  std::map<base::LeaseId, Seat> seats_;
  std::map<base::JobId, std::deque<base::LeaseId>> waiting_;  // Oldest first; no empty ones.
  std::vector<Event> events_;
};

}  // namespace mobula::scheduler
