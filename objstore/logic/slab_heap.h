#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "objstore/logic/run_allocator.h"

namespace mobula::objstore {

// A process's allocator over the slabs that it leases.  Private memory: what it knows is lost with the process, and the
// raylet learns the rest from the index.
//
// Best fit twice: the slab whose largest hole fits best, then the hole in it, so that full slabs stay full and
// empty ones can go back.  A slab of more than `slab_bytes` / 2 that is not `slab_bytes` long was leased for one large
// object and is kept for those that fill more than half of it.
class SlabHeap {
 public:
  SlabHeap(std::uint64_t slab_bytes, std::uint64_t alignment) : slab_bytes_(slab_bytes), alignment_(alignment) {}

  void add(const FileRun& slab);  // REQUIRES: overlaps no other.
  std::optional<FileRun> allocate(std::uint64_t size);
  void free(const FileRun& run);  // REQUIRES: from allocate().
  // Forgets and returns slabs without objects, largest first, as long as more than `keep_bytes` of such stay.
  std::vector<FileRun> take_empty(std::uint64_t keep_bytes);

  std::uint64_t free_bytes() const;
  std::size_t slab_count() const { return slabs_.size(); }
  FileRun slab_of(const FileRun& run) const;  // REQUIRES: inside a slab.
  bool overlaps(const FileRun& run) const;
  bool is_valid() const;

 private:
  using Slabs = std::map<std::uint64_t, RunAllocator>;
  using ByHole = std::set<std::pair<std::uint64_t, std::uint64_t>>;  // (largest hole, offset of the slab)

  bool is_large(const FileRun& slab) const { return slab.size > slab_bytes_ / 2 && slab.size != slab_bytes_; }
  std::uint64_t hole_of(const RunAllocator& slab) const;  // A large slab with an object has none.
  ByHole& holes_of(const FileRun& slab) { return is_large(slab) ? large_ : small_; }
  const ByHole& holes_of(const FileRun& slab) const { return is_large(slab) ? large_ : small_; }
  Slabs::iterator slab_at(std::uint64_t offset);
  std::optional<FileRun> allocate_from(ByHole& holes, std::uint64_t size, std::uint64_t slab_size_max);

  std::uint64_t slab_bytes_;
  std::uint64_t alignment_;
  Slabs slabs_;
  ByHole small_;
  ByHole large_;
};

}  // namespace mobula::objstore
