// The bundles of placement groups on a node, and the seats inside them.

#include <algorithm>
#include <cassert>
#include <utility>

#include "scheduler/planted.h"
#include "scheduler/seat_book.h"

namespace mobula::scheduler {
namespace {

using base::Amount;

constexpr Amount kOne{Amount::kPerOne};

bool means(const BundleRef& wish, const BundleRef& bundle) {
  return wish.group == bundle.group && (wish.index == BundleRef::kAny || wish.index == bundle.index);
}

}  // namespace

std::optional<BundleRef> SeatBook::room_for(const base::Resources& shape, const BundleRef& wish) const {
  if (!wish) {
    if (!available_.covers(shape) && !planted(Mistake::kRoomNotChecked)) return std::nullopt;
    // There may be enough of them in all and yet not one that is whole.
    if (const Amount gpus = shape.get("gpus"); gpus.units > 0) {
      base::Resources only;
      only.set("gpus", gpus);
      if (!pieces_.choose(only, pieces_.all_pus())) return std::nullopt;
    }
    return BundleRef{};
  }
  for (auto it = pools_.lower_bound({wish.group, BundleRef::kAny}); it != pools_.end(); ++it) {
    const auto& [bundle, pool] = *it;
    if (bundle.group != wish.group) break;
    if (!means(wish, bundle) || pool.leaving || !pool.available.covers(shape) || !gpus_in(pool, shape)) continue;
    return bundle;
  }
  return std::nullopt;
}

bool SeatBook::could_serve(const base::Resources& shape, const BundleRef& wish) const {
  if (!wish) return total_.covers(shape);
  return std::any_of(pools_.begin(), pools_.end(), [&](const auto& p) {
    return means(wish, p.first) && !p.second.leaving && p.second.total.covers(shape);
  });
}

const base::Resources& SeatBook::available_in(const BundleRef& wish) const {
  for (const auto& [bundle, pool] : pools_) {
    if (means(wish, bundle)) return pool.available;
  }
  return available_;
}

// A part of a GPU goes where others share already; whole ones in order.
std::optional<Pieces> SeatBook::gpus_in(const Pool& pool, const base::Resources& shape) {
  Pieces out;
  const Amount gpus = shape.get("gpus");
  if (gpus.units <= 0) return out;
  if (gpus.units % Amount::kPerOne != 0) {
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < pool.gpus.size(); ++i) {
      if (pool.gpu_room[i] < gpus || (best && pool.gpu_room[*best] <= pool.gpu_room[i])) continue;
      best = i;
    }
    if (!best) return std::nullopt;
    out.gpus.push_back(pool.gpus[*best]);
    out.gpu_share = gpus;
    return out;
  }
  out.gpu_share = kOne;
  const auto count = static_cast<std::size_t>(gpus.units / Amount::kPerOne);
  for (std::size_t i = 0; i < pool.gpus.size() && out.gpus.size() < count; ++i) {
    if (pool.gpu_room[i] >= kOne) out.gpus.push_back(pool.gpus[i]);
  }
  if (out.gpus.size() < count) return std::nullopt;
  return out;
}

bool SeatBook::prepare(const base::LeaseId& id, const base::PlacementGroupId& group, std::vector<HeldBundle> bundles) {
  NodeRoom trial = pieces_;
  trial.set_room(available_);
  for (const HeldBundle& b : bundles) {
    const bool twice = std::any_of(holds_.begin(), holds_.end(), [&](const auto& h) {
      return h.second.group == group && std::any_of(h.second.bundles.begin(), h.second.bundles.end(),
                                                    [&](const HeldBundle& other) { return other.index == b.index; });
    });
    if (twice || !trial.has(b.shape, b.pieces)) return false;
    trial.take(b.shape, b.pieces);
  }
  available_ = trial.room();
  trial.set_room(total_);
  pieces_ = std::move(trial);
  holds_[id] = {group, std::move(bundles), false, false};
  return true;
}

void SeatBook::commit(const base::LeaseId& id) {
  const auto it = holds_.find(id);
  if (it == holds_.end() || it->second.committed || it->second.leaving) return;
  Hold& hold = it->second;
  hold.committed = true;
  for (const HeldBundle& b : hold.bundles) {
    Pool pool;
    pool.hold = id;
    pool.total = pool.available = b.shape;
    pool.gpus = b.pieces.gpus;
    pool.gpu_room.assign(pool.gpus.size(), b.pieces.gpu_share);
    pools_[{hold.group, static_cast<std::int32_t>(b.index)}] = std::move(pool);
  }
}

void SeatBook::drop(const base::LeaseId& id, base::Outbox<LeaseOutput>& out) {
  const auto it = holds_.find(id);
  if (it == holds_.end() || std::exchange(it->second.leaving, true)) return;
  for (const HeldBundle& b : it->second.bundles) {
    const auto pool = pools_.find({it->second.group, static_cast<std::int32_t>(b.index)});
    if (pool != pools_.end()) pool->second.leaving = true;
  }
  const std::string why = "its placement group is over, or has lost the bundle";
  for (auto s = seats_.begin(); s != seats_.end();) {
    Seat& seat = s->second;
    const auto pool = pools_.find(seat.bundle);
    if (!seat.bundle || pool == pools_.end() || pool->second.hold != id) {
      ++s;
    } else if (seat.phase == Phase::kWaiting) {
      events_.push_back({Event::Kind::kFailed, s->first, seat.holder, {}});
      forget_waiting(seat.job, s->first);
      give_back(seat, seat.shape);
      s = seats_.erase(s);
    } else {
      const bool kill = seat.phase == Phase::kHeld && !planted(Mistake::kReleaseKillsNobody);
      if (kill) out.emplace_back(StopWorker{seat.worker, StopMode::kKill, why});
      ++s;
    }
  }
}

const Pieces* SeatBook::pieces_of(const BundleRef& bundle) const {
  const auto pool = pools_.find(bundle);
  if (pool == pools_.end()) return nullptr;
  for (const HeldBundle& b : holds_.at(pool->second.hold).bundles) {
    if (static_cast<std::int32_t>(b.index) == bundle.index) return &b.pieces;
  }
  return nullptr;
}

base::Resources& SeatBook::room_of(const Seat& seat) {
  return seat.bundle ? pools_.at(seat.bundle).available : available_;
}

void SeatBook::give_back(const Seat& seat, const base::Resources& amounts) {
  room_of(seat).add(amounts);
  if (!seat.bundle) return pieces_.give_back_pieces(seat.pieces);
  Pool& pool = pools_.at(seat.bundle);
  --pool.seats;
  for (const std::uint16_t gpu : seat.pieces.gpus) {
    const auto at = std::find(pool.gpus.begin(), pool.gpus.end(), gpu) - pool.gpus.begin();
    pool.gpu_room[static_cast<std::size_t>(at)].units += seat.pieces.gpu_share.units;
  }
}

void SeatBook::finish_leaving() {
  for (auto it = holds_.begin(); it != holds_.end();) {
    const Hold& hold = it->second;
    const auto pool_of = [&](const HeldBundle& b) {
      return pools_.find({hold.group, static_cast<std::int32_t>(b.index)});
    };
    const bool used = std::any_of(hold.bundles.begin(), hold.bundles.end(), [&](const HeldBundle& b) {
      const auto pool = pool_of(b);
      return hold.committed && pool != pools_.end() && pool->second.seats != 0;
    });
    if (!hold.leaving || used) {
      ++it;
      continue;
    }
    for (const HeldBundle& b : hold.bundles) {
      if (hold.committed) pools_.erase(pool_of(b));
      available_.add(b.shape);
      pieces_.give_back_pieces(b.pieces);
    }
    it = holds_.erase(it);
  }
}

}  // namespace mobula::scheduler
