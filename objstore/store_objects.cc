#include <algorithm>
#include <set>

#include "objstore/store_impl.h"

namespace mobula::objstore {
namespace {

FileRun run_of(const SlabGrant& slab) { return {slab.offset, slab.size}; }

}  // namespace

FileRun StoreImpl::memory_of(std::uint32_t entry) const {
  const FileRun run = index.run_of(entry);
  return {run.offset, std::max<std::uint64_t>(run.size, 1)};
}

bool StoreImpl::is_adopted(std::uint32_t entry, EntryWord word) const {
  return adopted[entry] == word.generation() + 1;
}

// A freed orphan is the raylet's to reap; a freed object of a live process is that process's.
bool StoreImpl::finish(std::uint32_t entry) {
  if (!index.finish(entry)) return false;
  if (index.word(entry).slot() == kRayletSlot) reap_orphan(entry);
  return true;
}

void StoreImpl::reap_orphan(std::uint32_t entry) {
  if (!table.orphans().contains(entry)) return;
  table.remove_orphan(entry);
  index.reap(entry);
}

bool StoreImpl::free(const ObjectId& id) {
  bool any = false;
  index.visit(id, [&](const ProcessIndex::Found& found) {
    if (!index.doom(found)) return false;
    any = true;
    finish(found.entry);
    return false;
  });
  return any;
}

std::uint64_t StoreImpl::evict_secondary(std::uint64_t bytes_needed) {
  std::uint64_t dropped = 0;
  // Twice round: the first pass takes away second chances.
  for (std::size_t left = 2 * index.entry_count(); left != 0 && dropped < bytes_needed; --left) {
    const std::uint32_t entry = clock_hand;
    clock_hand = static_cast<std::uint32_t>((clock_hand + 1) % index.entry_count());
    const EntryWord word = index.word(entry);
    if (word.state() != EntryState::kSealed || !word.secondary()) continue;
    auto& touched = index.entry(entry).touched;
    if (touched.exchange(0, std::memory_order_relaxed) != 0 || index.pinned(entry)) continue;
    const std::uint64_t size = index.run_of(entry).size;
    // Who pins it between these two still reads it: the object is gone and its bytes come with the unpin.
    if (!index.doom({entry, word})) continue;
    finish(entry);
    dropped += size;
  }
  return dropped;
}

void StoreImpl::sweep() {
  const std::uint64_t frees = index.slot(kRayletSlot).frees.load(std::memory_order_acquire);
  if (frees == orphan_frees_seen) return;
  orphan_frees_seen = frees;
  std::vector<std::uint32_t> freed;
  for (const auto& [entry, run] : table.orphans()) {
    if (index.word(entry).state() == EntryState::kFreed) freed.push_back(entry);
  }
  for (const std::uint32_t entry : freed) reap_orphan(entry);
}

std::map<std::uint32_t, FileRun> StoreImpl::take_over(SlotId slot, const std::function<bool(const FileRun&)>& wanted,
                                                      Reclaimed& out) {
  std::map<std::uint32_t, FileRun> objects;
  std::map<std::uint64_t, std::uint64_t> seen;  // Offset to end of those taken.
  for (std::uint32_t entry = 0; entry < index.entry_count(); ++entry) {
    EntryWord word = index.word(entry);
    while (word.holds_memory() && word.slot() == slot) {
      const FileRun run = memory_of(entry);
      if (!wanted(run)) break;
      const auto after = seen.lower_bound(run.end());
      const bool apart = after == seen.begin() || std::prev(after)->second <= run.offset;
      // What the process wrote is believed only as far as its slabs go.
      const bool sound = apart && table.is_writable_by(slot, run);
      if (index.swap(entry, word, sound ? word.with_slot(kRayletSlot) : word.emptied())) {
        if (!sound) ++out.corrupt;
        if (!sound) break;
        objects.emplace(entry, run);
        seen.emplace(run.offset, run.end());
        if (word.state() == EntryState::kSealed && !is_adopted(entry, word))
          out.unadopted.push_back(index.id_of(entry));
        break;
      }
      word = index.word(entry);  // A reader's last unpin came in between.
    }
    if (word.state() == EntryState::kFreed && word.slot() == slot && wanted(memory_of(entry))) index.reap(entry);
  }
  return objects;
}

void StoreImpl::release(SlotId slot, const FileRun& slab, const std::map<std::uint32_t, FileRun>& objects) {
  std::map<std::uint32_t, FileRun> inside;
  for (const auto& [entry, run] : objects) {
    if (slab.covers(run)) inside.emplace(entry, run);
  }
  table.release(slot, slab, inside);
  for (const auto& [entry, run] : inside) {
    finish(entry);  // One that nobody finished because who should have was killed.
    if (index.word(entry).state() == EntryState::kFreed) reap_orphan(entry);
  }
}

Result<void> StoreImpl::return_slabs(SlotId slot, const std::vector<SlabGrant>& slabs) {
  std::set<std::uint64_t> offsets;
  for (const SlabGrant& slab : slabs) {
    if (table.is_leased(slot, run_of(slab)) && offsets.insert(slab.offset).second) continue;
    return base::Error{base::Code::kInvalid, "process slot " + std::to_string(slot) + " gives back a slab of " +
                                                 std::to_string(slab.size) + " bytes at " +
                                                 std::to_string(slab.offset) + " that it does not have"};
  }
  Reclaimed ignored;
  const auto in_these = [&](const FileRun& run) {
    return std::any_of(slabs.begin(), slabs.end(), [&](const SlabGrant& s) { return run_of(s).covers(run); });
  };
  const auto objects = take_over(slot, in_these, ignored);
  for (const SlabGrant& slab : slabs) release(slot, run_of(slab), objects);
  return {};
}

Reclaimed StoreImpl::reclaim(SlotId slot) {
  Reclaimed out;
  if (!is_attached(slot)) return out;
  out.pins = index.drop_pins(slot);
  const auto objects = take_over(
      slot, [](const FileRun&) { return true; }, out);
  for (const FileRun& slab : table.slabs_of(slot)) {
    ++out.slabs;
    out.slab_bytes += slab.size;
    release(slot, slab, objects);
  }
  // It may have died between any two steps of pinning, freeing and sealing.
  for (std::uint32_t entry = 0; entry < index.entry_count(); ++entry) {
    const EntryWord word = index.word(entry);
    if (word.state() == EntryState::kClaimed && word.slot() == slot) {
      out.half_sealed += index.swap(entry, word, word.emptied()) ? 1u : 0u;
    } else if (word.state() == EntryState::kDoomed) {
      finish(entry);
    } else if (word.state() == EntryState::kFreed && word.slot() == kRayletSlot) {
      reap_orphan(entry);
    }
  }
  index.slot(slot).attached.store(0, std::memory_order_seq_cst);
  return out;
}

}  // namespace mobula::objstore
