#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/resources.h"

namespace mobula::scheduler {

inline base::Time at(int ms) { return base::Time(std::chrono::seconds(1000) + std::chrono::milliseconds(ms)); }

template <class Id>
Id id(std::uint64_t n) {
  return Id::from_words(n, n * 7919, 1, 0);
}

inline base::Resources res(std::vector<std::pair<std::string, double>> amounts) {
  base::Resources r;
  for (const auto& [name, amount] : amounts) r.set(name, base::Amount::of(amount));
  return r;
}

// All outputs of one kind, in order.
template <class T, class Output>
std::vector<T> all(const std::vector<Output>& out) {
  std::vector<T> found;
  for (const Output& o : out) {
    if (const T* t = std::get_if<T>(&o)) found.push_back(*t);
  }
  return found;
}

}  // namespace mobula::scheduler
