#include "objstore/logic/pin_counts.h"

#include <utility>

namespace mobula::objstore {

std::size_t PinCounts::find(std::uint32_t entry) const {
  std::size_t at = home(entry);
  while (slots_[at].count != 0 && slots_[at].entry != entry) at = (at + 1) & mask();
  return at;
}

void PinCounts::add(std::uint32_t entry) {
  std::size_t at = find(entry);
  if (slots_[at].count == 0) {
    if ((used_ + 1) * 2 > slots_.size()) {
      grow();
      at = find(entry);
    }
    slots_[at].entry = entry;
    ++used_;
  }
  ++slots_[at].count;
}

std::uint32_t PinCounts::remove(std::uint32_t entry) {
  std::size_t hole = find(entry);
  if (--slots_[hole].count != 0) return slots_[hole].count;
  --used_;
  // Whoever comes after the hole in its run and could not be found across it moves into it, and leaves the next hole.
  for (std::size_t at = (hole + 1) & mask(); slots_[at].count != 0; at = (at + 1) & mask()) {
    const std::size_t wants = home(slots_[at].entry);
    if (((at - wants) & mask()) < ((at - hole) & mask())) continue;
    slots_[hole] = std::exchange(slots_[at], {});
    hole = at;
  }
  return 0;
}

void PinCounts::grow() {
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.size() * 2));
  for (const Slot& slot : old) {
    if (slot.count != 0) slots_[find(slot.entry)] = slot;
  }
}

bool PinCounts::is_valid() const {
  std::size_t used = 0;
  for (std::size_t at = 0; at < slots_.size(); ++at) {
    if (slots_[at].count == 0) continue;
    ++used;
    if (find(slots_[at].entry) != at) return false;
  }
  return used == used_ && used * 2 <= slots_.size();
}

}  // namespace mobula::objstore
