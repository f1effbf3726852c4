#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>

namespace mobula::base {

// An exact amount of a resource in units of 1/10000.
struct Amount {
  std::int64_t units = 0;
  static constexpr std::int64_t kPerOne = 10'000;

  static Amount of(double v) { return {static_cast<std::int64_t>(v * kPerOne + (v < 0 ? -0.5 : 0.5))}; }
  double value() const { return static_cast<double>(units) / kPerOne; }
  auto operator<=>(const Amount&) const = default;
};

// Named amounts: "cpus", "gpus", "memory" (bytes) and the user's own names.  Absent means none.
//
// Invariant: no stored amount is zero.
class Resources {
 public:
  Resources() = default;

  Amount get(const std::string& name) const {
    const auto it = amounts_.find(name);
    return it == amounts_.end() ? Amount{} : it->second;
  }
  void set(const std::string& name, Amount amount) {
    if (amount.units == 0) {
      amounts_.erase(name);
    } else {
      amounts_[name] = amount;
    }
  }
  const std::map<std::string, Amount>& all() const { return amounts_; }
  bool empty() const { return amounts_.empty(); }

  // True when each amount of `need` is there.
  bool covers(const Resources& need) const {
    for (const auto& [name, amount] : need.amounts_) {
      if (get(name) < amount) return false;
    }
    return true;
  }
  void add(const Resources& other) {
    for (const auto& [name, amount] : other.amounts_) set(name, {get(name).units + amount.units});
  }
  // May go below zero: the caller decides whether that is allowed.
  void subtract(const Resources& other) {
    for (const auto& [name, amount] : other.amounts_) set(name, {get(name).units - amount.units});
  }
  bool any_negative() const {
    for (const auto& [name, amount] : amounts_) {
      if (amount.units < 0) return true;
    }
    return false;
  }
  std::string to_string() const;  // "cpus=1 gpus=0.5", or "nothing".

  auto operator<=>(const Resources&) const = default;

 private:
  std::map<std::string, Amount> amounts_;
};

}  // namespace mobula::base
