#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/base/machine.h"

namespace mobula::base {

// At most one deadline per key, fired in order of time, then of key.
template <class Key>
class Timers {
 public:
  void set(const Key& key, Time at) {
    clear(key);
    at_.emplace(key, at);
    order_.emplace(at, key);
  }
  void clear(const Key& key) {
    if (const auto it = at_.find(key); it != at_.end()) {
      order_.erase({it->second, key});
      at_.erase(it);
    }
  }
  std::optional<Time> next() const { return order_.empty() ? std::nullopt : std::optional(order_.begin()->first); }
  // Takes the first key whose time has come.
  std::optional<Key> pop_due(Time now) {
    if (order_.empty() || order_.begin()->first > now) return std::nullopt;
    const Key key = order_.begin()->second;
    clear(key);
    return key;
  }
  std::size_t size() const { return at_.size(); }

 private:
  std::map<Key, Time> at_;
  std::set<std::pair<Time, Key>> order_;
};

// The earlier of two deadlines that may both be missing.
inline std::optional<Time> earlier(std::optional<Time> a, std::optional<Time> b) {
  if (!a) return b;
  if (!b) return a;
  return *a < *b ? a : b;
}

}  // namespace mobula::base
