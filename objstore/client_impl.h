#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "core/os/fd.h"
#include "core/os/forks.h"
#include "core/os/memory_file.h"
#include "objstore/layout.h"
#include "objstore/logic/owned_objects.h"
#include "objstore/logic/pin_counts.h"
#include "objstore/logic/slab_heap.h"
#include "objstore/store.h"

namespace mobula::objstore {

// A process's pins, counted privately so that shared memory holds one bit for each object.
// Thread-safe.
class PinTable {
 public:
  PinTable(const ProcessIndex& index, SlotId slot) : index_(index), slot_(slot) {}

  bool pin(const ProcessIndex::Found& found);  // False: no longer as found.
  void pin_again(std::uint32_t entry);         // REQUIRES: pinned.
  void unpin(std::uint32_t entry);             // Nothing in a fork() of this process: the pin is the original's.

 private:
  const ProcessIndex index_;
  const SlotId slot_;
  const std::uint32_t generation_ = os::fork_generation();
  std::mutex mutex_;
  PinCounts counts_;  // Under mutex_.
};

// Which pages of the data file this process has mapped for writing: a hint that spares system calls.  It outlives a
// slab's lease, as the pages do: the store keeps them once touched.  Thread-safe.
class PopulatedPages {
 public:
  PopulatedPages(base::Bytes mapping, std::uint64_t chunk_bytes);

  // Maps what of `run` is not yet, whole chunks as far as they lie in `within`; at most about `bytes_max`.
  std::uint64_t populate(const FileRun& run, const FileRun& within, std::uint64_t bytes_max);

 private:
  base::Bytes mapping_;
  std::uint64_t chunk_bytes_;
  std::vector<std::atomic<std::uint64_t>> bits_;
};

// What a StoreClient, its Allocations and its Pins share.
struct ClientImpl {
  ClientImpl(os::Fd control_file, os::Fd data_file, os::Mapping control_map, os::Mapping data_map, SlotId slot_id,
             const ProcessIndex& shared_index, const ControlHeader& header);

  void expect(const ObjectId& id) const { index.prefetch(slot, id); }
  std::optional<Pin> get(const std::shared_ptr<ClientImpl>& self, const ObjectId& id);
  Result<Sealed> seal(const FileRun& run, std::size_t size, const ObjectId& id, Copy copy);
  bool free(const ObjectId& id);
  void drop(const FileRun& run);  // Thread-safe: the memory comes back with the next sweep.
  void sweep(std::size_t visits_max);
  void sweep_if_told();
  void reap(std::uint32_t entry);

  os::Fd control;
  os::Fd data;
  os::Mapping control_mapping;
  os::Mapping data_mapping;
  SlotId slot;
  ProcessIndex index;
  std::uint64_t slab_bytes;

  PinTable pins;
  PopulatedPages populated;

  // The caller's lock.
  SlabHeap heap;
  OwnedObjects owned;
  std::uint64_t frees_seen = 0;
  std::uint64_t bytes_needed = 0;

  std::mutex dropped_mutex;
  std::vector<FileRun> dropped;  // Under dropped_mutex.
};

}  // namespace mobula::objstore
