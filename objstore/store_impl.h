#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/os/fd.h"
#include "core/os/memory_file.h"
#include "objstore/layout.h"
#include "objstore/logic/slab_table.h"
#include "objstore/store.h"

namespace mobula::objstore {

// Slot of memory that belongs to no process any more but to the raylet.
inline constexpr SlotId kRayletSlot = 0;

// store.cc: slots, leases, pages.  store_objects.cc: objects.  store_check.cc: figures and invariants.
struct StoreImpl {
  StoreImpl(const StoreOptions& opts, const ControlLayout& control_layout, const SlabTable::Options& table_options)
      : options(opts), layout(control_layout), table(table_options) {}

  Result<SlabGrant> lease(SlotId slot, std::uint64_t bytes_min);
  Result<void> return_slabs(SlotId slot, const std::vector<SlabGrant>& slabs);
  Reclaimed reclaim(SlotId slot);
  bool is_attached(SlotId slot) const;
  base::Error full(std::uint64_t bytes_min) const;

  Result<void> reserve(const FileRun& piece);
  bool reserve_more();

  bool free(const ObjectId& id);
  std::uint64_t evict_secondary(std::uint64_t bytes_needed);
  void sweep();
  // Makes the slot's objects for which `wanted` is true the raylet's own and returns where they lie.
  std::map<std::uint32_t, FileRun> take_over(SlotId slot, const std::function<bool(const FileRun&)>& wanted,
                                             Reclaimed& out);
  void release(SlotId slot, const FileRun& slab, const std::map<std::uint32_t, FileRun>& objects);
  bool finish(std::uint32_t entry);
  void reap_orphan(std::uint32_t entry);
  FileRun memory_of(std::uint32_t entry) const;
  bool is_adopted(std::uint32_t entry, EntryWord word) const;

  StoreStats stats() const;
  std::string memory_report() const;
  bool is_valid(std::string* why) const;
  bool objects_are_valid(std::string* why) const;

  StoreOptions options;
  ControlLayout layout;
  os::Fd control;
  os::Fd data;
  os::Mapping control_mapping;
  os::Mapping data_mapping;  // Only where huge pages are populated through it.
  std::uint64_t huge_page_bytes = 0;
  ProcessIndex index;

  // Private: nothing that a process writes changes these.
  SlabTable table;
  std::vector<bool> slot_reserved;     // Its row of pin bits has pages.
  std::vector<std::uint64_t> adopted;  // By entry: generation + 1 of the object that was adopted.
  std::uint64_t orphan_frees_seen = 0;
  std::uint32_t clock_hand = 0;
  std::optional<base::Error> reserve_error;
};

}  // namespace mobula::objstore
