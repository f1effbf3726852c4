#include <algorithm>

#include "collective/algorithms/common.h"

namespace mobula::collective {

Plan alltoall_pairwise(Place place, const Blocks& sends, const Blocks& receives) {
  Plan plan{.algorithm = "pairwise"};
  const auto [rank, size] = place;
  for (int distance = 1; distance < size; ++distance) {
    const int to = detail::wrap(rank + distance, size);
    const int from = detail::wrap(rank - distance, size);
    plan.add(send(to, in(sends.offset(to), sends.count(to))));
    plan.add(receive(from, out(receives.offset(from), receives.count(from))));
    plan.end_round();
  }
  plan.add(copy(in(sends.offset(rank), sends.count(rank)), out(receives.offset(rank), receives.count(rank))));
  plan.end_round();
  return plan;
}

// Bruck, Ho, Kipnis, Upfal, Weathersby 1997.  Blocks are kept by their distance from this rank; in the round of bit b
// all blocks whose distance has that bit travel b ranks on.
Plan alltoall_bruck(Place place, std::size_t each) {
  const auto [rank, size] = place;
  const auto blocks = [each](int n) { return each * static_cast<std::size_t>(n); };
  Plan plan{.algorithm = "bruck", .scratch = 3 * blocks(size)};
  const auto held = [&](int distance) { return scratch(blocks(distance), each); };
  const std::size_t packed = blocks(size);
  const std::size_t arrived = 2 * blocks(size);
  for (int distance = 0; distance < size; ++distance) {
    plan.add(copy(in(blocks(detail::wrap(rank + distance, size)), each), held(distance)));
  }
  for (int bit = 1; bit < size; bit *= 2) {
    int moved = 0;
    for (int distance = 0; distance < size; ++distance) {
      if ((distance & bit) != 0) plan.add(copy(held(distance), scratch(packed + blocks(moved++), each)));
    }
    plan.end_round();
    plan.add(send(detail::wrap(rank + bit, size), scratch(packed, blocks(moved))));
    plan.add(receive(detail::wrap(rank - bit, size), scratch(arrived, blocks(moved))));
    moved = 0;
    for (int distance = 0; distance < size; ++distance) {
      if ((distance & bit) != 0) plan.add(copy(scratch(arrived + blocks(moved++), each), held(distance)));
    }
  }
  for (int distance = 0; distance < size; ++distance) {
    plan.add(copy(held(distance), out(blocks(detail::wrap(rank - distance, size)), each)));
  }
  plan.end_round();
  return plan;
}

Plan allgather_bruck(Place place, std::size_t each) {
  const auto [rank, size] = place;
  const auto blocks = [each](int n) { return each * static_cast<std::size_t>(n); };
  Plan plan{.algorithm = "bruck", .scratch = blocks(size)};
  plan.add(copy(in(0, each), scratch(0, each)));
  plan.end_round();
  for (int have = 1; have < size; have *= 2) {
    const int n = std::min(have, size - have);
    plan.add(send(detail::wrap(rank - have, size), scratch(0, blocks(n))));
    plan.add(receive(detail::wrap(rank + have, size), scratch(blocks(have), blocks(n))));
    plan.end_round();
  }
  const int before_wrap = size - rank;
  plan.add(copy(scratch(0, blocks(before_wrap)), out(blocks(rank), blocks(before_wrap))));
  plan.add(copy(scratch(blocks(before_wrap), blocks(rank)), out(0, blocks(rank))));
  plan.end_round();
  return plan;
}

}  // namespace mobula::collective
