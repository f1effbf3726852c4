#pragma once

#include "collective/algorithms.h"

namespace mobula::collective::detail {

// Ranks counted from the root.
class Relative {
 public:
  Relative(Place place, int root)
      : size_(place.size), root_(root), self_((place.rank - root + place.size) % place.size) {}
  int self() const { return self_; }
  int rank(int relative) const { return (relative + root_) % size_; }

 private:
  int size_;
  int root_;
  int self_;
};

inline int wrap(int rank, int size) { return ((rank % size) + size) % size; }

inline int power_of_two_below(int n) {  // The largest that is <= n.
  int p = 1;
  while (p * 2 <= n) p *= 2;
  return p;
}

// Where the number of ranks is no power of two, the first 2 * extra ranks pair up: the odd one of a pair hands its
// contribution to the even one and waits for the result.  The others are numbered anew.
class Fold {
 public:
  explicit Fold(Place place) : core_(power_of_two_below(place.size)), extra_(place.size - core_) {
    if (place.rank >= 2 * extra_) {
      index_ = place.rank - extra_;
    } else if (place.rank % 2 == 0) {
      index_ = place.rank / 2;
    }
  }
  int core() const { return core_; }
  int index() const { return index_; }  // -1: folded into its left neighbour.
  bool has_partner(int rank) const { return rank < 2 * extra_; }
  int rank(int index) const { return index < extra_ ? 2 * index : index + extra_; }

 private:
  int core_;
  int extra_;
  int index_ = -1;
};

// The ring's two halves, as allreduce, reduce and reduce_scatter use them.  Blocks lie in `buffer`; after the first
// half rank r has the whole of block (r + 1) mod n, or, with `shift` -1, its own.
void ring_reduce_scatter(Plan& plan, Place place, const Blocks& blocks, Buffer buffer, int shift);
void ring_allgather(Plan& plan, Place place, const Blocks& blocks, int first_block);

}  // namespace mobula::collective::detail
