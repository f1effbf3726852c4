#pragma once

#include <bitset>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "collective/plan.h"

namespace mobula::collective::test {

inline constexpr std::size_t kRanksMax = 64;

// What an element holds, symbolically: the reduction over `ranks` of each one's input element `index`.
struct Symbol {
  std::size_t index = 0;
  std::bitset<kRanksMax> ranks;
  bool operator==(const Symbol&) const = default;
};
using Memory = std::vector<std::optional<Symbol>>;  // nullopt: undefined.

// How long the buffers of a rank are, and where its input lies in its output when the call is in place.
struct Lengths {
  std::size_t input = 0;
  std::size_t output = 0;
  std::optional<std::size_t> in_place_at;
};

struct World {
  int size = 1;
  std::function<Plan(int rank)> plan;
  std::function<Lengths(int rank)> lengths;
  // Elements that the output holds before the operation (a broadcast's root), by rank.
  std::function<std::optional<Symbol>(int rank, std::size_t element)> before;
  // What must be there at the end; nullopt: anything.
  std::function<std::optional<Symbol>(int rank, std::size_t element)> after;
};

// Runs all ranks' plans against each other on symbols: matches messages in order, refuses reads of what is undefined,
// reductions that count a rank twice or mix elements, writes to what is being sent, messages of the wrong length or
// that nobody takes, and ranks that wait for ever, although a message is taken only where its receiver's round wants
// it: no plan needs a buffer on the way.  Empty: proved; else what is wrong.
std::string prove(const World& world);

}  // namespace mobula::collective::test
