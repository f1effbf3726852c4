#include "scheduler/memory_guard.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

namespace mobula::scheduler {
namespace {

constexpr std::uint64_t kWorthwhile = 50;  // Part of the limit.

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

bool MemoryGuard::is_short(const MemoryLook& look) const {
  if (limits_.percent == 0 || look.limit == 0) return false;
  const std::uint64_t free = look.limit - std::min(look.limit, look.used);
  const std::uint64_t kept = look.limit / 100 * (100 - std::min(limits_.percent, 100u));
  return free <= std::min(kept, limits_.free_max);
}

std::optional<MemoryVictim> MemoryGuard::choose(base::Time now, const MemoryLook& look,
                                                const std::vector<MemoryUser>& all) {
  // The end of an idle worker without memory frees nothing, and the next one would have to wait for it.
  std::vector<MemoryUser> users;
  std::copy_if(all.begin(), all.end(), std::back_inserter(users),
               [&](const MemoryUser& user) { return !user.owner.is_nil() || user.bytes >= look.limit / kWorthwhile; });
  if (!is_short(look) || users.empty()) return std::nullopt;
  if (last_ && now - *last_ < limits_.settle) return std::nullopt;
  struct Held {
    std::uint64_t bytes = 0;
    std::size_t workers = 0;
  };
  std::map<base::WorkerId, Held> by_owner;
  for (const MemoryUser& user : users) {
    by_owner[user.owner].bytes += user.bytes;
    ++by_owner[user.owner].workers;
  }
  const auto rank = [&](const MemoryUser& user) {
    return std::tuple(user.owner.is_nil(), user.retriable, by_owner.at(user.owner).bytes, user.owner, user.since,
                      user.bytes);
  };
  const auto victim = std::max_element(users.begin(), users.end(),
                                       [&](const MemoryUser& a, const MemoryUser& b) { return rank(a) < rank(b); });
  last_ = now;
  const Held& held = by_owner.at(victim->owner);
  std::string why = "the memory was nearly full: " + mib(look.used) + " of " + mib(look.limit) +
                    " were in use (memory_monitor = " + std::to_string(limits_.percent) + "); it held " +
                    mib(victim->bytes);
  if (!victim->owner.is_nil()) {
    why += ", and was the newest of " + std::to_string(held.workers) + " workers of its owner with " + mib(held.bytes);
  }
  return MemoryVictim{victim->worker, std::move(why)};
}

}  // namespace mobula::scheduler
