#include "collective/algorithms/common.h"

namespace mobula::collective {

using detail::Fold;

namespace {

// The odd one of a folded pair; true when the rank has no further part until the result comes.
bool fold_in(Plan& plan, Place place, const Fold& fold, std::size_t count) {
  plan.add(copy(in(0, count), out(0, count)));
  plan.end_round();
  if (fold.index() < 0) {
    plan.add(send(place.rank - 1, out(0, count)));
    plan.end_round();
    return true;
  }
  if (fold.has_partner(place.rank)) {
    plan.add(receive_reduce(place.rank, place.rank + 1, out(0, count)));
    plan.end_round();
  }
  return false;
}

void fold_out(Plan& plan, Place place, const Fold& fold, std::size_t count) {
  if (!fold.has_partner(place.rank)) return;
  if (fold.index() < 0) {
    plan.add(receive(place.rank - 1, out(0, count)));
  } else {
    plan.add(send(place.rank + 1, out(0, count)));
  }
  plan.end_round();
}

}  // namespace

Plan barrier_dissemination(Place place) {
  Plan plan{.algorithm = "dissemination"};
  for (int distance = 1; distance < place.size; distance *= 2) {
    plan.add(send(detail::wrap(place.rank + distance, place.size), out(0, 0)));
    plan.add(receive(detail::wrap(place.rank - distance, place.size), out(0, 0)));
    plan.end_round();
  }
  return plan;
}

Plan allreduce_recursive_doubling(Place place, std::size_t count) {
  Plan plan{.algorithm = "recursive_doubling", .scratch = count};
  const Fold fold(place);
  if (!fold_in(plan, place, fold, count)) {
    for (int distance = 1; distance < fold.core(); distance *= 2) {
      const int peer = fold.rank(fold.index() ^ distance);
      // What is sent must not change while it is sent: the partner's half lands apart.
      plan.add(send(peer, out(0, count)));
      plan.add(receive(peer, scratch(0, count)));
      plan.add({peer < place.rank ? StepKind::kReduceFirst : StepKind::kReduce, -1, scratch(0, count), out(0, count)});
      plan.end_round();
    }
  }
  fold_out(plan, place, fold, count);
  return plan;
}

Plan allreduce_rabenseifner(Place place, std::size_t count) {
  Plan plan{.algorithm = "rabenseifner"};
  const Fold fold(place);
  if (!fold_in(plan, place, fold, count)) {
    const Blocks blocks = Blocks::even(count, fold.core());
    const auto range = [&](int first, int last) { return out(blocks.offset(first), blocks.count(first, last)); };
    // Halving: blocks [first, last) are still this rank's to reduce.
    int first = 0;
    int last = fold.core();
    for (int distance = fold.core() / 2; distance > 0; distance /= 2) {
      const int peer = fold.rank(fold.index() ^ distance);
      const int middle = (first + last) / 2;
      const bool low = (fold.index() & distance) == 0;
      plan.add(send(peer, low ? range(middle, last) : range(first, middle)));
      (low ? last : first) = middle;
      plan.add(receive_reduce(place.rank, peer, range(first, last)));
      plan.end_round();
    }
    // Doubling back.
    for (int distance = 1; distance < fold.core(); distance *= 2) {
      const int peer = fold.rank(fold.index() ^ distance);
      plan.add(send(peer, range(first, last)));
      const int width = last - first;
      const bool low = (fold.index() & distance) == 0;
      plan.add(receive(peer, low ? range(last, last + width) : range(first - width, first)));
      if (low) {
        last += width;
      } else {
        first -= width;
      }
      plan.end_round();
    }
  }
  fold_out(plan, place, fold, count);
  return plan;
}

Plan scan(Place place, std::size_t count) {
  Plan plan{.algorithm = "hillis_steele", .scratch = count};
  plan.add(copy(in(0, count), out(0, count)));
  plan.end_round();
  for (int distance = 1; distance < place.size; distance *= 2) {
    const int right = place.rank + distance;
    const int left = place.rank - distance;
    if (right < place.size) plan.add(send(right, out(0, count)));
    if (left >= 0) {
      plan.add(receive(left, scratch(0, count)));
      plan.add({StepKind::kReduceFirst, -1, scratch(0, count), out(0, count)});
    }
    plan.end_round();
  }
  return plan;
}

Plan exclusive_scan(Place place, std::size_t count) {
  // The inclusive scan in scratch, then a shift by one rank.
  Plan plan{.algorithm = "hillis_steele", .scratch = 2 * count};
  const Range sum = scratch(0, count);
  const Range arrived = scratch(count, count);
  plan.add(copy(in(0, count), sum));
  plan.end_round();
  for (int distance = 1; distance < place.size; distance *= 2) {
    const int right = place.rank + distance;
    const int left = place.rank - distance;
    if (right < place.size) plan.add(send(right, sum));
    if (left >= 0) {
      plan.add(receive(left, arrived));
      plan.add({StepKind::kReduceFirst, -1, arrived, sum});
    }
    plan.end_round();
  }
  if (place.rank + 1 < place.size) plan.add(send(place.rank + 1, sum));
  if (place.rank > 0) plan.add(receive(place.rank - 1, out(0, count)));
  plan.end_round();
  return plan;
}

}  // namespace mobula::collective
