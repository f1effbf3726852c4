#include "scheduler/seat_book.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "scheduler/planted.h"

namespace mobula::scheduler {
namespace {

base::Resources cpus_of(const base::Resources& shape) {
  base::Resources cpus;
  cpus.set("cpus", shape.get("cpus"));
  return cpus;
}

base::Resources gpus_of(const base::Resources& shape) {
  base::Resources gpus;
  gpus.set("gpus", shape.get("gpus"));
  return gpus;
}

}  // namespace

SeatBook::SeatBook(base::NodeId node, base::Resources total, const base::Topology& topology, WorkerPoolLimits limits)
    : total_(std::move(total)), available_(total_), pieces_(node, topology, total_), pool_(limits) {}

const SeatBook::Seat* SeatBook::find(const base::LeaseId& lease) const {
  const auto it = seats_.find(lease);
  return it == seats_.end() ? nullptr : &it->second;
}

void SeatBook::take(base::Time now, const base::LeaseId& lease, Holder holder, const base::JobId& job,
                    base::Resources shape, const BundleRef& where) {
  assert(room_for(shape, where) == where || planted(Mistake::kRoomNotChecked));
  Seat seat;
  seat.holder = holder;
  seat.job = job;
  seat.bundle = where;
  if (where) {
    Pool& pool = pools_.at(where);
    seat.pieces = *gpus_in(pool, shape);
    for (const std::uint16_t gpu : seat.pieces.gpus) {
      const auto at = std::find(pool.gpus.begin(), pool.gpus.end(), gpu) - pool.gpus.begin();
      pool.gpu_room[static_cast<std::size_t>(at)].units -= seat.pieces.gpu_share.units;
    }
    ++pool.seats;
  } else if (shape.get("gpus").units > 0) {
    seat.pieces = *pieces_.choose(gpus_of(shape), pieces_.all_pus());
    seat.pieces.nic.reset();
    pieces_.take_pieces(seat.pieces);
  }
  seat.shape = std::move(shape);
  room_of(seat).subtract(seat.shape);
  const auto [it, added] = seats_.emplace(lease, std::move(seat));
  assert(added);
  (void)added;
  // One with GPUs may have to wait for those who were there: settle() sees to that.
  const auto worker = it->second.pieces.gpus.empty() ? pool_.take(job, lease) : std::nullopt;
  if (worker) {
    seat_worker(now, lease, it->second, *worker);
  } else {
    waiting_[job].push_back(lease);
  }
}

void SeatBook::release(base::Time now, const base::LeaseId& lease, WorkerFate fate, StopMode mode,
                       base::Outbox<LeaseOutput>& out) {
  const auto it = seats_.find(lease);
  if (it == seats_.end()) return;
  Seat& seat = it->second;
  if (seat.phase == Phase::kLeaving) return;
  if (seat.phase == Phase::kHeld && (fate == WorkerFate::kSpent || seat.blocked || pool_.has_ended(seat.job))) {
    seat.phase = Phase::kLeaving;
    pool_.leave(seat.worker);
    out.emplace_back(StopWorker{seat.worker, mode});
    return;
  }
  if (seat.phase == Phase::kHeld) pool_.give_back(now, seat.worker);
  if (seat.phase == Phase::kWaiting) forget_waiting(seat.job, lease);
  if (seat.phase != Phase::kLost) give_back(seat, seat.shape);
  seats_.erase(it);
}

void SeatBook::worker_ready(base::Time now, const WorkerReady& event) {
  pool_.ready(now, event.worker, event.job, event.address);
}

void SeatBook::worker_gone(const WorkerGone& event) {
  const auto worker = pool_.gone(event.worker);
  if (!worker || worker->lease.is_nil()) return;
  const auto it = seats_.find(worker->lease);
  if (it == seats_.end()) return;
  Seat& seat = it->second;
  if (!planted(Mistake::kDeathsReturnNothing)) give_back(seat, held(seat));
  if (seat.phase == Phase::kLeaving) {
    seats_.erase(it);
    return;
  }
  seat.phase = Phase::kLost;
  seat.cause = event.cause;
  events_.push_back({Event::Kind::kLost, it->first, seat.holder, {}});
}

void SeatBook::set_blocked(const base::WorkerId& id, bool blocked) {
  const WorkerPool::Worker* worker = pool_.find(id);
  if (!worker || worker->lease.is_nil() || planted(Mistake::kBlockedKeepsItsCpu)) return;
  const auto it = seats_.find(worker->lease);
  if (it == seats_.end() || it->second.phase != Phase::kHeld || it->second.blocked == blocked) return;
  it->second.blocked = blocked;
  if (blocked) {
    room_of(it->second).add(cpus_of(it->second.shape));
  } else {
    room_of(it->second).subtract(cpus_of(it->second.shape));
  }
}

void SeatBook::start_failed(base::Time now, const StartFailed& event) {
  pool_.start_failed(now, event.job, event.count);
  const auto it = waiting_.find(event.job);
  if (it == waiting_.end()) return;
  // Peers and the GCS can turn to another node; owners here wait for the next attempt.
  std::uint32_t left = event.count;
  for (const base::LeaseId& lease : std::deque(it->second)) {
    const auto seat = seats_.find(lease);
    if (left == 0) break;
    if (seat->second.holder.kind == Holder::Kind::kHome) continue;
    --left;
    events_.push_back({Event::Kind::kFailed, lease, seat->second.holder, event.cause});
    give_back(seat->second, seat->second.shape);
    forget_waiting(event.job, lease);
    seats_.erase(seat);
  }
}

void SeatBook::settle(base::Time now, base::Outbox<LeaseOutput>& out) {
  finish_leaving();
  std::map<base::JobId, std::uint32_t> lacking;
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    auto& [job, line] = *it;
    for (auto place = line.begin(); place != line.end();) {
      Seat& seat = seats_.at(*place);
      const auto worker = clear_gpus(seat, out) ? pool_.take(job, *place, use_of(seat)) : std::nullopt;
      if (worker) seat_worker(now, *place, seat, *worker);
      place = worker ? line.erase(place) : std::next(place);
    }
    if (!line.empty()) lacking.emplace(job, static_cast<std::uint32_t>(line.size()));
    it = line.empty() ? waiting_.erase(it) : std::next(it);
  }
  base::Outbox<StartWorkers> starts;
  base::Outbox<StopWorker> stops;
  pool_.start(now, lacking, starts, stops);
  pool_.reap(now, stops);
  out.insert(out.end(), starts.begin(), starts.end());
  out.insert(out.end(), stops.begin(), stops.end());
}

// True when nobody whose lease is over is in the way on the seat's GPUs; else they are asked to leave.
bool SeatBook::clear_gpus(const Seat& seat, base::Outbox<LeaseOutput>& out) {
  if (seat.pieces.gpus.empty() || pool_.resting().empty()) return true;
  const auto again = pool_.fitting(seat.job, use_of(seat));
  const std::string why = "its GPU is another's now";
  bool clear = true;
  for (const std::uint16_t gpu : seat.pieces.gpus) {
    const auto is_on = [gpu](const std::vector<std::uint16_t>& gpus) {
      return std::find(gpus.begin(), gpus.end(), gpu) != gpus.end();
    };
    base::Amount room{base::Amount::kPerOne};
    for (const auto& [lease, other] : seats_) {
      if (other.phase != Phase::kLost && is_on(other.pieces.gpus)) room.units -= other.pieces.gpu_share.units;
    }
    const std::vector<base::WorkerId> resting(pool_.resting().begin(), pool_.resting().end());
    for (const base::WorkerId& id : resting) {
      const WorkerPool::Worker& worker = *pool_.find(id);
      if (id == again || worker.stays || !is_on(worker.uses.gpus)) continue;
      if (room >= worker.uses.share) {
        room.units -= worker.uses.share.units;
        continue;
      }
      clear = false;
      if (worker.state != WorkerPool::State::kIdle) continue;
      pool_.leave(id);
      out.emplace_back(StopWorker{id, StopMode::kDrain, why});
    }
  }
  return clear;
}

std::vector<SeatBook::Event> SeatBook::take_events() { return std::exchange(events_, {}); }

base::Resources SeatBook::held(const Seat& seat) {
  base::Resources r;
  if (seat.phase == Phase::kLost) return r;
  r = seat.shape;
  if (seat.blocked) r.subtract(cpus_of(seat.shape));
  return r;
}

bool SeatBook::is_valid() const {
  base::Resources sum = available_;
  std::map<BundleRef, std::pair<base::Resources, std::size_t>> inside;
  for (const auto& [bundle, pool] : pools_) inside[bundle].first = pool.available;
  for (const auto& [id, hold] : holds_) {
    for (const HeldBundle& b : hold.bundles) sum.add(b.shape);
  }
  std::size_t waiting = 0;
  for (const auto& [lease, seat] : seats_) {
    if (!seat.bundle) {
      sum.add(held(seat));
    } else if (seat.phase != Phase::kLost) {
      const auto it = inside.find(seat.bundle);
      if (it == inside.end()) return false;
      it->second.first.add(held(seat));
      ++it->second.second;
    }
    waiting += seat.phase == Phase::kWaiting;
    if (seat.phase != Phase::kHeld && seat.phase != Phase::kLeaving) continue;
    const WorkerPool::Worker* worker = pool_.find(seat.worker);
    if (!worker || worker->lease != lease) return false;
  }
  for (const auto& [bundle, pool] : pools_) {
    const auto& [amounts, count] = inside.at(bundle);
    if (amounts != pool.total || count != pool.seats || !holds_.contains(pool.hold)) return false;
  }
  std::size_t lined = 0;
  for (const auto& [job, line] : waiting_) lined += line.size();
  return sum == total_ && waiting == lined && pool_.is_valid();
}

void SeatBook::seat_worker(base::Time now, const base::LeaseId& lease, Seat& seat, const base::WorkerId& worker) {
  seat.phase = Phase::kHeld;
  seat.worker = worker;
  seat.since = now;
  events_.push_back({Event::Kind::kReady, lease, seat.holder, {}});
}

void SeatBook::forget_waiting(const base::JobId& job, const base::LeaseId& lease) {
  const auto it = waiting_.find(job);
  it->second.erase(std::find(it->second.begin(), it->second.end(), lease));
  if (it->second.empty()) waiting_.erase(it);
}

}  // namespace mobula::scheduler
