#pragma once

#include <cstdint>

namespace mobula::objstore {

// The life of an index entry.  Who may move it is who is named:
//
//   kEmpty   -> kClaimed   any process, by compare-and-swap: the entry is its own to fill
//   kClaimed -> kSealed    the claimer, by one release-store: the object is there
//   kClaimed -> kEmpty     the claimer, or the raylet once the claimer is dead
//   kSealed  -> kDoomed    whoever frees or evicts, by compare-and-swap: not found from now on
//   kDoomed  -> kFreed     whoever sees that nobody has it pinned, by compare-and-swap
//   kFreed   -> kEmpty     whom its memory belongs to (slot), which may reuse it; the generation goes up
enum class EntryState : std::uint8_t { kEmpty = 0, kClaimed = 1, kSealed = 2, kDoomed = 3, kFreed = 4 };

// State, whom the memory belongs to, and how often the entry was reused, in one word.  A word that is
// unchanged means that the entry is unchanged: 48 bits of generation do not come round.
//
// Bits: 0-2 state, 3 secondary copy, 4-15 slot, 16-63 generation.
struct EntryWord {
  std::uint64_t bits = 0;

  static constexpr std::uint32_t kSlotMax = 0xfff;

  static constexpr EntryWord make(EntryState state, bool secondary, std::uint32_t slot, std::uint64_t generation) {
    return {static_cast<std::uint64_t>(state) | (secondary ? 8u : 0u) |
            static_cast<std::uint64_t>(slot & kSlotMax) << 4 | generation << 16};
  }

  constexpr EntryState state() const { return static_cast<EntryState>(bits & 7); }
  constexpr bool secondary() const { return (bits & 8) != 0; }
  constexpr std::uint32_t slot() const { return static_cast<std::uint32_t>(bits >> 4) & kSlotMax; }
  constexpr std::uint64_t generation() const { return bits >> 16; }

  constexpr EntryWord with(EntryState state) const {
    return {(bits & ~std::uint64_t{7}) | static_cast<std::uint64_t>(state)};
  }
  constexpr EntryWord with_slot(std::uint32_t slot) const { return make(state(), secondary(), slot, generation()); }
  constexpr EntryWord emptied() const { return make(EntryState::kEmpty, false, 0, generation() + 1); }
  // Sealed or doomed: readers may be looking at its memory.
  constexpr bool holds_memory() const { return state() == EntryState::kSealed || state() == EntryState::kDoomed; }

  bool operator==(const EntryWord&) const = default;
};

}  // namespace mobula::objstore
