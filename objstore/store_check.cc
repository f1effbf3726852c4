#include <algorithm>
#include <cstdio>
#include <vector>

#include "core/os/pages.h"
#include "objstore/store_impl.h"

namespace mobula::objstore {
namespace {

std::string mib(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", static_cast<double>(bytes) / (1 << 20));
  return text;
}

bool fail(std::string* why, std::string what) {
  if (why != nullptr) *why = std::move(what);
  return false;
}

}  // namespace

std::string StoreStats::to_string() const {
  char share[16];
  std::snprintf(share, sizeof share, "%.2f", fragmentation);
  return mib(capacity) + " MiB, reserved " + mib(reserved) + ", leased " + mib(leased) + ", orphaned " + mib(orphaned) +
         ", free " + mib(free_bytes) + " (largest run " + mib(largest_free_run) + ", fragmentation " + share + "), " +
         std::to_string(objects) + " objects of " + mib(sealed_bytes) + " MiB (" + mib(secondary_bytes) +
         " secondary, " + std::to_string(doomed_objects) + " freed while read)";
}

StoreStats StoreImpl::stats() const {
  StoreStats out;
  out.capacity = options.bytes;
  out.reserved = table.reserved_bytes();
  out.leased = table.leased_bytes();
  out.orphaned = table.orphaned_bytes();
  out.free_bytes = table.free_bytes();
  out.largest_free_run = table.largest_free_run();
  if (out.free_bytes != 0) {
    out.fragmentation = 1 - static_cast<double>(out.largest_free_run) / static_cast<double>(out.free_bytes);
  }
  out.index_entries = index.entry_count();
  out.huge_pages = huge_page_bytes != 0 ? HugePages::kTransparent : HugePages::kNone;
  for (SlotId slot = 1; slot < index.slot_count(); ++slot) out.processes += is_attached(slot) ? 1u : 0u;
  for (std::uint32_t entry = 0; entry < index.entry_count(); ++entry) {
    const EntryWord word = index.word(entry);
    if (word.state() == EntryState::kDoomed) ++out.doomed_objects;
    if (word.state() != EntryState::kSealed) continue;
    const std::uint64_t size = index.run_of(entry).size;
    ++out.objects;
    out.sealed_bytes += size;
    if (word.secondary()) out.secondary_bytes += size;
  }
  return out;
}

std::string StoreImpl::memory_report() const {
  const std::string setting = os::shared_huge_page_setting();
  const std::string said = " (shmem_enabled is " + (setting.empty() ? "not there" : "[" + setting + "]") + ")";
  if (huge_page_bytes == 0) return "plain pages" + said + ", " + mib(table.reserved_bytes()) + " MiB reserved";
  const std::uint64_t huge = os::huge_bytes_mapped({data_mapping.data(), data_mapping.size()});
  return "huge pages of " + mib(huge_page_bytes) + " MiB" + said + ": " + mib(huge) + " of " +
         mib(table.reserved_bytes()) + " MiB reserved are in them";
}

// Processes may be at work: an entry counts only with a word that is the same before and after, and two
// that overlap are a fault only if both words still stand.
bool StoreImpl::objects_are_valid(std::string* why) const {
  struct Seen {
    FileRun run;
    std::uint32_t entry;
    EntryWord word;
  };
  std::vector<Seen> seen;
  std::size_t orphans = 0;
  for (std::uint32_t entry = 0; entry < index.entry_count(); ++entry) {
    const EntryWord word = index.word(entry);
    if (!word.holds_memory() && word.state() != EntryState::kClaimed) continue;
    const std::string name = "index entry " + std::to_string(entry);
    const FileRun run = memory_of(entry);
    const bool reachable = word.state() != EntryState::kSealed || index.within_reach(entry);
    if (index.word(entry) != word) continue;
    if (word.slot() != kRayletSlot && !is_attached(word.slot()))
      return fail(why, name + " belongs to a slot that is gone");
    if (!word.holds_memory()) continue;
    if (!reachable) return fail(why, name + " is beyond its home's reach");
    if (word.slot() == kRayletSlot) {
      const auto orphan = table.orphans().find(entry);
      if (orphan == table.orphans().end() || orphan->second != run) return fail(why, name + " is not a known orphan");
      ++orphans;
    } else if (!table.is_writable_by(word.slot(), run)) {
      return fail(why, name + " lies outside the slabs of slot " + std::to_string(word.slot()));
    }
    seen.push_back({run, entry, word});
  }
  std::sort(seen.begin(), seen.end(), [](const Seen& a, const Seen& b) { return a.run.offset < b.run.offset; });
  for (std::size_t i = 1; i < seen.size(); ++i) {
    const Seen& a = seen[i - 1];
    const Seen& b = seen[i];
    if (a.run.end() <= b.run.offset || index.word(a.entry) != a.word || index.word(b.entry) != b.word) continue;
    return fail(why, "index entries " + std::to_string(a.entry) + " and " + std::to_string(b.entry) + " overlap");
  }
  if (orphans > table.orphans().size()) return fail(why, "more orphans in the index than in the table");
  return true;
}

bool StoreImpl::is_valid(std::string* why) const {
  if (!table.is_valid(why)) return false;
  for (SlotId slot = 1; slot < index.slot_count(); ++slot) {
    if (is_attached(slot)) continue;
    if (slot_reserved[slot] && index.has_pins(slot)) {
      return fail(why, "slot " + std::to_string(slot) + " is free and has pins");
    }
    if (!table.slabs_of(slot).empty()) return fail(why, "slot " + std::to_string(slot) + " is free and has slabs");
  }
  return objects_are_valid(why);
}

}  // namespace mobula::objstore
