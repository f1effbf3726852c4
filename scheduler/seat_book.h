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
#include "scheduler/worker_pool.h"

namespace mobula::scheduler {

// The half of the lease machine that runs things: the leases on this node's workers, whoever holds them,
// and the resources that they take.
//
// A seat takes its resources at once, then waits for a worker.  Released or lost, it gives them back as
// soon as nothing of it can run any more: at once when the worker is idle again, else when its
// process is gone.
//
// Invariant: total - available == the sum of held() over all seats.
class SeatBook {
 public:
  struct Holder {
    enum class Kind : unsigned char { kHome = 1, kPeer, kGcs };
    Kind kind = Kind::kHome;
    base::NodeId peer;     // Of kPeer.
    base::WorkerId owner;  // Of kHome and kPeer.
    std::uint32_t key = 0;
    base::ActorId actor;  // Of kGcs.
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
    std::string cause;  // Of kFailed.
  };

  SeatBook(base::Resources total, WorkerPoolLimits limits);

  const base::Resources& available() const { return available_; }
  const std::map<base::LeaseId, Seat>& seats() const { return seats_; }
  const Seat* find(const base::LeaseId& lease) const;
  WorkerPool& pool() { return pool_; }
  const WorkerPool& pool() const { return pool_; }

  // REQUIRES: available() covers shape; the lease is new.
  void take(base::Time now, const base::LeaseId& lease, Holder holder, const base::JobId& job, base::Resources shape);
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
  void seat_worker(base::Time now, const base::LeaseId& lease, Seat& seat, const base::WorkerId& worker);
  void forget_waiting(const base::JobId& job, const base::LeaseId& lease);

  const base::Resources total_;
  base::Resources available_;
  WorkerPool pool_;
  std::map<base::LeaseId, Seat> seats_;
  std::map<base::JobId, std::deque<base::LeaseId>> waiting_;  // Oldest first; no empty ones.
  std::vector<Event> events_;
};

}  // namespace mobula::scheduler
