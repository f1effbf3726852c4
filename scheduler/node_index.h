#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/base/ids.h"

namespace mobula::scheduler {

// The nodes that have cpus to give, in the orders that a choice wants: it looks at few of them, however many there are.
class NodeIndex {
 public:
  static constexpr std::int64_t kHalf = 500;  // In 1/1000 of what a node has, where it is fullest.

  void set(const base::NodeId& node, std::int64_t used_permille) {
    const auto [it, is_new] = used_.try_emplace(node, used_permille);
    if (!is_new) {
      if (it->second == used_permille) return;
      by_use_.erase({it->second, node});
      it->second = used_permille;
    }
    by_use_.emplace(used_permille, node);
    if (used_permille < kHalf) {
      half_empty_.insert(node);
    } else {
      half_empty_.erase(node);
    }
  }
  void erase(const base::NodeId& node) {
    const auto it = used_.find(node);
    if (it == used_.end()) return;
    by_use_.erase({it->second, node});
    half_empty_.erase(node);
    used_.erase(it);
  }

  // Home itself, else the next one in a circle that is less than half used, else the least used; of those that fit.
  template <class Fits>
  std::optional<base::NodeId> pack(const base::NodeId& home, Fits fits) const {
    if (used_.contains(home) && fits(home)) return home;
    const auto begin = half_empty_.upper_bound(home);
    for (auto it = begin; it != half_empty_.end(); ++it) {
      if (fits(*it)) return *it;
    }
    for (auto it = half_empty_.begin(); it != begin; ++it) {
      if (fits(*it)) return *it;
    }
    return least_used(home, kHalf, fits);
  }
  template <class Fits>
  std::optional<base::NodeId> spread(const base::NodeId& home, Fits fits) const {
    return least_used(home, std::numeric_limits<std::int64_t>::min(), fits);
  }

 private:
  // Among equals the next one after home.
  template <class Fits>
  std::optional<base::NodeId> least_used(const base::NodeId& home, std::int64_t from, Fits fits) const {
    for (auto group = by_use_.lower_bound({from, {}}); group != by_use_.end();) {
      const auto end = by_use_.lower_bound({group->first + 1, {}});
      const auto after = by_use_.upper_bound({group->first, home});
      for (auto it = after; it != end; ++it) {
        if (fits(it->second)) return it->second;
      }
      for (auto it = group; it != after; ++it) {
        if (fits(it->second)) return it->second;
      }
      group = end;
    }
    return std::nullopt;
  }

  std::map<base::NodeId, std::int64_t> used_;
  std::set<base::NodeId> half_empty_;
  std::set<std::pair<std::int64_t, base::NodeId>> by_use_;
};

}  // namespace mobula::scheduler
