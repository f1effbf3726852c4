#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/base/ids.h"
#include "objstore/logic/entry_word.h"
#include "objstore/logic/run_allocator.h"

namespace mobula::objstore {

// The index of sealed objects and the pins on them, in memory that processes share.  Lock-free; a
// process may die between any two instructions and nothing is left that cannot be told apart.
//
// Finding.  Open addressing without tombstones: the entry at an id's home says how far from it an entry
// of that home has ever been put (`reach`), and a search looks exactly that far.  `reach` only grows, and grows before
// the entry is published, so a search that begins after a seal finds the entry whatever else moves.  Ids
// are compared between two looks at the word; an entry that was reused in between has another generation.
//
// Pinning.  A process pins an entry by setting its own bit for it and then looking at the word again; who dooms an
// entry changes the word and then looks at the bits.  In the single order of these operations one of the two sees
// the other (Dekker; hazard pointers, Michael 2004), so memory that somebody reads is not reused.  A counter in the
// word would be one operation less, but when a process is killed between changing it and noting that it did, nobody can
// tell whether it counts; a bit of its own is simply cleared.  `pinners` says which slots to ask (slot modulo 64), so
// looking is short.  Processes count their own pins privately.
//
// Atomic is std::atomic, or a test's, which lets a scheduler interleave processes at each operation.
template <template <class> class Atomic>
class SharedIndex {
 public:
  static constexpr std::size_t kProbeMax = 512;

  // One cache line.  Zero bytes are a valid empty entry.
  struct alignas(64) Entry {
    Atomic<std::uint64_t> word;
    Atomic<std::uint64_t> pinners;
    Atomic<std::uint64_t> id[3];
    Atomic<std::uint64_t> offset;
    Atomic<std::uint64_t> size;
    Atomic<std::uint32_t> id_index;
    Atomic<std::uint16_t> reach;    // Of the home that this entry is, not of the object in it.
    Atomic<std::uint16_t> touched;  // Read since the evictor's clock came by.
  };
  // Per process slot.
  struct alignas(64) Slot {
    Atomic<std::uint64_t> frees;     // How many of its objects were freed; tells it that a sweep is worth while.
    Atomic<std::uint32_t> attached;  // 1 while a process has it.
    Atomic<std::uint32_t> pid;
  };
  struct Memory {
    Entry* entries = nullptr;
    std::size_t entry_count = 0;  // A power of two.
    Slot* slots = nullptr;
    std::uint32_t slot_count = 0;
    Atomic<std::uint64_t>* pin_bits = nullptr;  // slot_count rows of pin_words.
    std::size_t pin_words = 0;                  // At least entry_count / 64.
  };
  struct Found {
    std::uint32_t entry;
    EntryWord word;
  };
  struct Object {
    base::ObjectId id;
    FileRun run;
    bool secondary = false;
  };

  SharedIndex() = default;
  explicit SharedIndex(const Memory& memory) : m_(memory) {}

  std::size_t entry_count() const { return m_.entry_count; }
  std::uint32_t slot_count() const { return m_.slot_count; }
  Slot& slot(std::uint32_t s) const { return m_.slots[s]; }
  Entry& entry(std::uint32_t e) const { return m_.entries[e]; }
  EntryWord word(std::uint32_t e) const { return {m_.entries[e].word.load(std::memory_order_seq_cst)}; }

  // --- Publishing -------------------------------------------------------------------------------

  // An empty entry near the id's home, now ours; nullopt: all within kProbeMax are taken.
  std::optional<std::uint32_t> claim(const base::ObjectId& id, std::uint32_t slot) const {
    const std::size_t home = home_of(id);
    for (std::size_t d = 0; d < probes(); ++d) {
      const std::uint32_t e = at(home, d);
      EntryWord w{m_.entries[e].word.load(std::memory_order_relaxed)};
      if (w.state() != EntryState::kEmpty) continue;
      if (swap(e, w, EntryWord::make(EntryState::kClaimed, false, slot, w.generation()))) return e;
    }
    return std::nullopt;
  }

  // REQUIRES: claimed by us for this id.
  void publish(std::uint32_t e, const Object& object) const {
    Entry& entry = m_.entries[e];
    const EntryWord claimed{entry.word.load(std::memory_order_relaxed)};
    // Release, so that a reader who sees one of these also sees that the word is no longer the one it
    // knew.  A late fetch_or of somebody who lost this entry may set a bit again: one look more for us.
    entry.pinners.store(0, std::memory_order_release);
    for (int i = 0; i < 3; ++i) entry.id[i].store(object.id.word(i), std::memory_order_release);
    entry.id_index.store(object.id.index(), std::memory_order_release);
    entry.offset.store(object.run.offset, std::memory_order_release);
    entry.size.store(object.run.size, std::memory_order_release);
    entry.touched.store(1, std::memory_order_relaxed);
    raise_reach(object.id, e);
    const EntryWord sealed =
        EntryWord::make(EntryState::kSealed, object.secondary, claimed.slot(), claimed.generation());
    entry.word.store(sealed.bits, std::memory_order_release);
  }

  // --- Finding and pinning ------------------------------------------------------------------------

  // Calls `visit(Found)` for each sealed entry of this id until it returns true.
  template <class Visit>
  bool visit(const base::ObjectId& id, Visit&& visit) const {
    const std::size_t home = home_of(id);
    const std::size_t reach = m_.entries[home].reach.load(std::memory_order_acquire);
    for (std::size_t d = 0; d <= reach && d < probes(); ++d) {
      const std::uint32_t e = at(home, d);
      const EntryWord w{m_.entries[e].word.load(std::memory_order_acquire)};
      if (w.state() == EntryState::kSealed && id_is(e, id) && visit(Found{e, w})) return true;
    }
    return false;
  }

  // The word must be looked at again (pin does) before what it says is believed.
  std::optional<Found> find(const base::ObjectId& id) const {
    std::optional<Found> found;
    visit(id, [&](const Found& f) {
      found = f;
      return true;
    });
    return found;
  }

  // Brings near what pin() will want of an object that was told of and is not looked up yet.  The line was written by
  // another core, and a pin writes it: asked for writing it comes once, not twice.
  void prefetch(std::uint32_t slot, const base::ObjectId& id) const {
    const auto home = static_cast<std::uint32_t>(home_of(id));
    fetch_for_writing(&m_.entries[home]);
    fetch_for_writing(&pin_word(slot, home));
  }

  // Protects the entry if it is still as found.  One thread of a process at a time; not for one that the slot
  // has pinned.
  bool pin(std::uint32_t slot, const Found& found) const {
    Entry& entry = m_.entries[found.entry];
    if (!(entry.pinners.load(std::memory_order_acquire) & mask(slot))) {
      entry.pinners.fetch_or(mask(slot), std::memory_order_seq_cst);
    }
    auto& bits = pin_word(slot, found.entry);
    bits.store(bits.load(std::memory_order_relaxed) | bit(found.entry), std::memory_order_seq_cst);
    if (word(found.entry) == found.word) return true;
    unpin(slot, found.entry);
    return false;
  }

  // REQUIRES: pinned by this slot, which has no other pin on it.
  void unpin(std::uint32_t slot, std::uint32_t e) const {
    auto& bits = pin_word(slot, e);
    bits.store(bits.load(std::memory_order_relaxed) & ~bit(e), std::memory_order_seq_cst);
    finish(e);
  }

  void touch(std::uint32_t e) const {
    auto& touched = m_.entries[e].touched;
    if (touched.load(std::memory_order_relaxed) == 0) touched.store(1, std::memory_order_relaxed);
  }

  bool pinned(std::uint32_t e) const {
    std::uint64_t left = m_.entries[e].pinners.load(std::memory_order_seq_cst);
    for (; left != 0; left &= left - 1) {
      for (auto s = static_cast<std::uint32_t>(__builtin_ctzll(left)); s < m_.slot_count; s += 64) {
        if (m_.slots[s].attached.load(std::memory_order_seq_cst) == 0) continue;
        if (pin_word(s, e).load(std::memory_order_seq_cst) & bit(e)) return true;
      }
    }
    return false;
  }

  // REQUIRES: pinned, or ours.
  FileRun run_of(std::uint32_t e) const {
    return {m_.entries[e].offset.load(std::memory_order_acquire), m_.entries[e].size.load(std::memory_order_acquire)};
  }
  base::ObjectId id_of(std::uint32_t e) const {
    const Entry& entry = m_.entries[e];
    return base::ObjectId::from_words(
        entry.id[0].load(std::memory_order_acquire), entry.id[1].load(std::memory_order_acquire),
        entry.id[2].load(std::memory_order_acquire), entry.id_index.load(std::memory_order_acquire));
  }

  // --- Freeing --------------------------------------------------------------------------------------

  // No search that begins after this finds it.  False: the entry is no longer as found.
  bool doom(const Found& found) const { return swap(found.entry, found.word, found.word.with(EntryState::kDoomed)); }

  // Frees a doomed entry that nobody has pinned and tells whom its memory belongs to.  True: it was us.
  bool finish(std::uint32_t e) const {
    const EntryWord w = word(e);
    if (w.state() != EntryState::kDoomed || pinned(e)) return false;
    if (!swap(e, w, w.with(EntryState::kFreed))) return false;
    if (w.slot() < m_.slot_count) m_.slots[w.slot()].frees.fetch_add(1, std::memory_order_release);
    return true;
  }

  // Gives the entry back to all.  REQUIRES: freed, and its memory is ours.
  void reap(std::uint32_t e) const { m_.entries[e].word.store(word(e).emptied().bits, std::memory_order_release); }

  // --- The raylet's, for slots whose process is gone ---------------------------------------------------

  bool swap(std::uint32_t e, EntryWord from, EntryWord to) const {
    return m_.entries[e].word.compare_exchange_strong(from.bits, to.bits, std::memory_order_seq_cst);
  }
  // Clears the slot's pins; how many there were.  Entries that only they kept are finished by the caller.
  std::size_t drop_pins(std::uint32_t slot) const {
    std::size_t pins = 0;
    for (std::size_t i = 0; i < m_.pin_words; ++i) {
      auto& bits = m_.pin_bits[slot * m_.pin_words + i];
      const std::uint64_t was = bits.load(std::memory_order_relaxed);
      pins += static_cast<std::size_t>(__builtin_popcountll(was));
      if (was != 0) bits.store(0, std::memory_order_seq_cst);
    }
    return pins;
  }
  bool has_pins(std::uint32_t slot) const {
    for (std::size_t i = 0; i < m_.pin_words; ++i) {
      if (m_.pin_bits[slot * m_.pin_words + i].load(std::memory_order_relaxed) != 0) return true;
    }
    return false;
  }
  // Whether a search for the entry's id would look at it.
  bool within_reach(std::uint32_t e) const {
    const std::size_t home = home_of(id_of(e));
    return distance(home, e) <= m_.entries[home].reach.load(std::memory_order_acquire);
  }

 private:
  // Not __builtin_prefetch(_, 1): without -mprfchw that asks for reading, and g++ 12 takes calls of functions that do
  // nothing else away.
  static void fetch_for_writing(const void* line) {
#if defined(__x86_64__)
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(line)));
#else
    __builtin_prefetch(line, 1);
#endif
  }

  std::size_t probes() const { return m_.entry_count < kProbeMax ? m_.entry_count : kProbeMax; }
  std::size_t home_of(const base::ObjectId& id) const { return base::IdHash{}(id) & (m_.entry_count - 1); }
  std::uint32_t at(std::size_t home, std::size_t d) const {
    return static_cast<std::uint32_t>((home + d) & (m_.entry_count - 1));
  }
  std::size_t distance(std::size_t home, std::uint32_t e) const { return (e - home) & (m_.entry_count - 1); }

  static std::uint64_t mask(std::uint32_t slot) { return std::uint64_t{1} << (slot % 64); }
  static std::uint64_t bit(std::uint32_t e) { return std::uint64_t{1} << (e % 64); }
  Atomic<std::uint64_t>& pin_word(std::uint32_t slot, std::uint32_t e) const {
    return m_.pin_bits[slot * m_.pin_words + e / 64];
  }

  bool id_is(std::uint32_t e, const base::ObjectId& id) const {
    const Entry& entry = m_.entries[e];
    return entry.id[0].load(std::memory_order_acquire) == id.word(0) &&
           entry.id_index.load(std::memory_order_acquire) == id.index() &&
           entry.id[1].load(std::memory_order_acquire) == id.word(1) &&
           entry.id[2].load(std::memory_order_acquire) == id.word(2);
  }

  void raise_reach(const base::ObjectId& id, std::uint32_t e) const {
    const std::size_t home = home_of(id);
    const auto need = static_cast<std::uint16_t>(distance(home, e));
    auto& reach = m_.entries[home].reach;
    std::uint16_t now = reach.load(std::memory_order_relaxed);
    while (now < need && !reach.compare_exchange_weak(now, need, std::memory_order_release)) {
    }
  }

  Memory m_;
};

using ProcessIndex = SharedIndex<std::atomic>;
static_assert(sizeof(ProcessIndex::Entry) == 64 && sizeof(ProcessIndex::Slot) == 64);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint16_t>::is_always_lock_free);

}  // namespace mobula::objstore
