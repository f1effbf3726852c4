#include "collective/algorithms/common.h"

namespace mobula::collective {
namespace detail {

void ring_reduce_scatter(Plan& plan, Place place, const Blocks& blocks, Buffer buffer, int shift) {
  const auto [rank, size] = place;
  const int right = wrap(rank + 1, size);
  const int left = wrap(rank - 1, size);
  for (int round = 0; round + 1 < size; ++round) {
    const int sent = wrap(rank + shift - round, size);
    const int received = wrap(sent - 1, size);
    plan.add(send(right, {buffer, blocks.offset(sent), blocks.count(sent)}));
    // Operands come round in ring order whatever the rank: the sum of a block begins at one rank and is added to by
    // each in turn, so what arrives stands first.
    plan.add({StepKind::kReceiveReduceFirst, left, {}, {buffer, blocks.offset(received), blocks.count(received)}});
    plan.end_round();
  }
}

void ring_allgather(Plan& plan, Place place, const Blocks& blocks, int first_block) {
  const auto [rank, size] = place;
  const int right = wrap(rank + 1, size);
  const int left = wrap(rank - 1, size);
  for (int round = 0; round + 1 < size; ++round) {
    const int sent = wrap(first_block - round, size);
    const int received = wrap(sent - 1, size);
    plan.add(send(right, out(blocks.offset(sent), blocks.count(sent))));
    plan.add(receive(left, out(blocks.offset(received), blocks.count(received))));
    plan.end_round();
  }
}

}  // namespace detail

Plan allreduce_ring(Place place, std::size_t count) {
  Plan plan{.algorithm = "ring"};
  const Blocks blocks = Blocks::even(count, place.size);
  plan.add(copy(in(0, count), out(0, count)));
  plan.end_round();
  detail::ring_reduce_scatter(plan, place, blocks, Buffer::kOutput, 0);
  detail::ring_allgather(plan, place, blocks, detail::wrap(place.rank + 1, place.size));
  return plan;
}

Plan reduce_ring_gather(Place place, int root, std::size_t count) {
  Plan plan{.algorithm = "ring_gather", .scratch = count};
  const Blocks blocks = Blocks::even(count, place.size);
  plan.add(copy(in(0, count), scratch(0, count)));
  plan.end_round();
  detail::ring_reduce_scatter(plan, place, blocks, Buffer::kScratch, -1);
  const int self = place.rank;
  if (self != root) {
    plan.add(send(root, scratch(blocks.offset(self), blocks.count(self))));
  } else {
    for (int i = 0; i < place.size; ++i) {
      if (i != self) plan.add(receive(i, out(blocks.offset(i), blocks.count(i))));
    }
    plan.add(copy(scratch(blocks.offset(self), blocks.count(self)), out(blocks.offset(self), blocks.count(self))));
  }
  plan.end_round();
  return plan;
}

Plan reduce_scatter_ring(Place place, const Blocks& blocks) {
  Plan plan{.algorithm = "ring", .scratch = blocks.total()};
  plan.add(copy(in(0, blocks.total()), scratch(0, blocks.total())));
  plan.end_round();
  detail::ring_reduce_scatter(plan, place, blocks, Buffer::kScratch, -1);
  const int self = place.rank;
  plan.add(copy(scratch(blocks.offset(self), blocks.count(self)), out(0, blocks.count(self))));
  plan.end_round();
  return plan;
}

Plan reduce_scatter_pairwise(Place place, const Blocks& blocks) {
  const auto [rank, size] = place;
  const std::size_t mine = blocks.count(rank);
  Plan plan{.algorithm = "pairwise", .scratch = mine * static_cast<std::size_t>(size)};
  // Contributions land apart and are added in rank order at the end: the same order for every block.
  for (int distance = 1; distance < size; ++distance) {
    const int to = detail::wrap(rank + distance, size);
    const int from = detail::wrap(rank - distance, size);
    plan.add(send(to, in(blocks.offset(to), blocks.count(to))));
    plan.add(receive(from, scratch(mine * static_cast<std::size_t>(from), mine)));
    plan.end_round();
  }
  plan.add(copy(in(blocks.offset(rank), mine), scratch(mine * static_cast<std::size_t>(rank), mine)));
  plan.add(copy(scratch(0, mine), out(0, mine)));
  for (int i = 1; i < size; ++i) plan.add(reduce(scratch(mine * static_cast<std::size_t>(i), mine), out(0, mine)));
  plan.end_round();
  return plan;
}

Plan allgather_ring(Place place, const Blocks& blocks) {
  Plan plan{.algorithm = "ring"};
  const int self = place.rank;
  plan.add(copy(in(0, blocks.count(self)), out(blocks.offset(self), blocks.count(self))));
  plan.end_round();
  detail::ring_allgather(plan, place, blocks, self);
  return plan;
}

}  // namespace mobula::collective
