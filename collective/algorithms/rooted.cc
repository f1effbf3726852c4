#include <algorithm>

#include "collective/algorithms/common.h"

namespace mobula::collective {

using detail::Relative;

namespace {

// Binomial tree by relative rank: a node's parent has its lowest bit cleared; its children set one lower bit each.
int lowest_bit(int relative, int size) {
  int bit = 1;
  while (bit < size && (relative & bit) == 0) bit *= 2;
  return bit;  // For the root: the first power of two that is >= size.
}

int subtree(int relative, int bit, int size) { return std::min(relative + bit, size) - relative; }

}  // namespace

Plan broadcast_binomial(Place place, int root, std::size_t count) {
  Plan plan{.algorithm = "binomial"};
  const Relative relative(place, root);
  const int bit = lowest_bit(relative.self(), place.size);
  if (relative.self() != 0) {
    plan.add(receive(relative.rank(relative.self() - bit), out(0, count)));
    plan.end_round();
  }
  for (int child = bit / 2; child > 0; child /= 2) {
    if (relative.self() + child < place.size) plan.add(send(relative.rank(relative.self() + child), out(0, count)));
  }
  plan.end_round();
  return plan;
}

Plan broadcast_chain(Place place, int root, std::size_t count, std::size_t segment) {
  Plan plan{.algorithm = "chain"};
  const Relative relative(place, root);
  const bool receives = relative.self() != 0;
  const bool sends = relative.self() + 1 < place.size;
  const std::size_t step = std::max<std::size_t>(segment, 1);
  // A segment is passed on while the next one comes.
  std::size_t done = 0;
  std::size_t done_count = 0;
  for (std::size_t at = 0; at < count || done_count != 0;) {
    const std::size_t n = std::min(step, count - at);
    if (!receives) {
      if (sends) plan.add(send(relative.rank(relative.self() + 1), out(at, n)));
    } else {
      if (n != 0) plan.add(receive(relative.rank(relative.self() - 1), out(at, n)));
      if (sends && done_count != 0) plan.add(send(relative.rank(relative.self() + 1), out(done, done_count)));
      done = at;
      done_count = n;
    }
    plan.end_round();
    at += n;
  }
  return plan;
}

Plan broadcast_scatter_allgather(Place place, int root, std::size_t count) {
  Plan plan{.algorithm = "scatter_allgather"};
  const Relative relative(place, root);
  const int self = relative.self();
  const Blocks blocks = Blocks::even(count, place.size);
  const auto range = [&](int first, int n) { return out(blocks.offset(first), blocks.count(first, first + n)); };
  const int bit = lowest_bit(self, place.size);
  if (self != 0) {
    plan.add(receive(relative.rank(self - bit), range(self, subtree(self, bit, place.size))));
    plan.end_round();
  }
  for (int child = bit / 2; child > 0; child /= 2) {
    if (self + child < place.size)
      plan.add(send(relative.rank(self + child), range(self + child, subtree(self + child, child, place.size))));
  }
  plan.end_round();
  for (int round = 0; round + 1 < place.size; ++round) {
    const int sent = detail::wrap(self - round, place.size);
    const int received = detail::wrap(sent - 1, place.size);
    // Who has a block from the scatter already is sent it all the same, to the same bytes: the ring stays regular.
    plan.add(send(relative.rank(detail::wrap(self + 1, place.size)), range(sent, 1)));
    plan.add(receive(relative.rank(detail::wrap(self - 1, place.size)), range(received, 1)));
    plan.end_round();
  }
  return plan;
}

Plan reduce_binomial(Place place, int root, std::size_t count) {
  Plan plan{.algorithm = "binomial"};
  const Relative relative(place, root);
  const int self = relative.self();
  const bool is_root = self == 0;
  // The root may reduce into its result; the others must not touch theirs.
  const Range sum = is_root ? out(0, count) : scratch(0, count);
  if (!is_root) plan.scratch = count;
  plan.add(copy(in(0, count), sum));
  plan.end_round();
  const int bit = lowest_bit(self, place.size);
  for (int child = 1; child < bit && self + child < place.size; child *= 2) {
    // In relative order: a subtree's sum is of consecutive ranks, the child's all behind this one's.
    plan.add({StepKind::kReceiveReduce, relative.rank(self + child), {}, sum});
    plan.end_round();
  }
  if (!is_root) {
    plan.add(send(relative.rank(self - bit), sum));
    plan.end_round();
  }
  return plan;
}

Plan gather_linear(Place place, int root, const Blocks& blocks) {
  Plan plan{.algorithm = "linear"};
  const int self = place.rank;
  if (self != root) {
    plan.add(send(root, in(0, blocks.count(self))));
  } else {
    for (int i = 0; i < place.size; ++i) {
      if (i != self) plan.add(receive(i, out(blocks.offset(i), blocks.count(i))));
    }
    plan.add(copy(in(0, blocks.count(self)), out(blocks.offset(self), blocks.count(self))));
  }
  plan.end_round();
  return plan;
}

Plan scatter_linear(Place place, int root, const Blocks& blocks) {
  Plan plan{.algorithm = "linear"};
  const int self = place.rank;
  if (self != root) {
    plan.add(receive(root, out(0, blocks.count(self))));
  } else {
    for (int i = 0; i < place.size; ++i) {
      if (i != self) plan.add(send(i, in(blocks.offset(i), blocks.count(i))));
    }
    plan.add(copy(in(blocks.offset(self), blocks.count(self)), out(0, blocks.count(self))));
  }
  plan.end_round();
  return plan;
}

Plan gather_binomial(Place place, int root, std::size_t each) {
  // A subtree's blocks are consecutive by relative rank; the root turns them round at the end.
  Plan plan{.algorithm = "binomial"};
  const Relative relative(place, root);
  const int self = relative.self();
  const int bit = lowest_bit(self, place.size);
  const auto blocks = [each](int n) { return each * static_cast<std::size_t>(n); };
  plan.scratch = blocks(subtree(self, bit, place.size));
  plan.add(copy(in(0, each), scratch(0, each)));
  plan.end_round();
  for (int child = 1; child < bit && self + child < place.size; child *= 2) {
    plan.add(
        receive(relative.rank(self + child), scratch(blocks(child), blocks(subtree(self + child, child, place.size)))));
  }
  plan.end_round();
  if (self != 0) {
    plan.add(send(relative.rank(self - bit), scratch(0, plan.scratch)));
  } else {
    const int before_wrap = place.size - root;
    plan.add(copy(scratch(0, blocks(before_wrap)), out(blocks(root), blocks(before_wrap))));
    plan.add(copy(scratch(blocks(before_wrap), blocks(root)), out(0, blocks(root))));
  }
  plan.end_round();
  return plan;
}

Plan scatter_binomial(Place place, int root, std::size_t each) {
  Plan plan{.algorithm = "binomial"};
  const Relative relative(place, root);
  const int self = relative.self();
  const int bit = lowest_bit(self, place.size);
  const auto blocks = [each](int n) { return each * static_cast<std::size_t>(n); };
  plan.scratch = blocks(subtree(self, bit, place.size));
  if (self == 0) {
    const int before_wrap = place.size - root;
    plan.add(copy(in(blocks(root), blocks(before_wrap)), scratch(0, blocks(before_wrap))));
    plan.add(copy(in(0, blocks(root)), scratch(blocks(before_wrap), blocks(root))));
  } else {
    plan.add(receive(relative.rank(self - bit), scratch(0, plan.scratch)));
  }
  plan.end_round();
  for (int child = bit / 2; child > 0; child /= 2) {
    if (self + child < place.size) {
      plan.add(
          send(relative.rank(self + child), scratch(blocks(child), blocks(subtree(self + child, child, place.size)))));
    }
  }
  plan.add(copy(scratch(0, each), out(0, each)));
  plan.end_round();
  return plan;
}

}  // namespace mobula::collective
