#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mobula::objstore {

// How often a process has pinned which entries of the index.
//
// As large as what is pinned, not as the index: with a counter for each entry, every pin of an object not seen
// before looked at a line and a page of its own (150 ns of a get).  Open addressing with linear probing; a removal
// closes the gap that it leaves, so there are no tombstones.
class PinCounts {
 public:
  PinCounts() : slots_(kSlotsMin) {}

  std::uint32_t of(std::uint32_t entry) const { return slots_[find(entry)].count; }
  void add(std::uint32_t entry);
  // What is left.  REQUIRES: of(entry) != 0.
  std::uint32_t remove(std::uint32_t entry);
  std::size_t size() const { return used_; }  // Entries with a count.
  bool is_valid() const;

 private:
  static constexpr std::size_t kSlotsMin = 64;

  struct Slot {
    std::uint32_t entry = 0;
    std::uint32_t count = 0;  // 0: the slot is empty.
  };

  std::size_t mask() const { return slots_.size() - 1; }
  std::size_t home(std::uint32_t entry) const { return (entry * 0x9e37'79b1u >> 7) & mask(); }
  std::size_t find(std::uint32_t entry) const;  // Its slot, or the empty one where it would be.
  void grow();

  std::vector<Slot> slots_;  // A power of two; at most half are used.
  std::size_t used_ = 0;
};

}  // namespace mobula::objstore
