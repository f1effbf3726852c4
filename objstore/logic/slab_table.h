#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "objstore/logic/run_allocator.h"

namespace mobula::objstore {

// The raylet's private account of the data file: which process may write which run, which runs hold
// objects of processes that are gone, and which pages have been taken from the machine.  Nothing in shared
// memory can change it.
//
// Small slabs are cut from the high end of the file and large ones from the low end, so that slabs of
// a few long-lived small objects do not stand between the large ones.
//
// Invariant: free runs, slabs and the units under orphans tile the file.
class SlabTable {
 public:
  struct Options {
    std::uint64_t bytes = 0;        // A multiple of unit.
    std::uint64_t unit = 0;         // Slabs begin and end at multiples of this.
    std::uint64_t slab_bytes = 0;   // A multiple of unit: what a small lease gets.
    std::uint64_t piece_bytes = 0;  // A multiple of unit: pages are reserved by this.
    std::uint64_t ahead_bytes = 0;  // Free and reserved, to be kept.
  };
  enum class Pages {
    kMayWait,     // The best place, be it that its pages must be reserved first.
    kMustBeHere,  // Where pages are reserved already: the machine gives no more.
  };
  enum class Answer { kGranted, kReserveFirst, kNoRoom };
  struct Lease {
    Answer answer = Answer::kNoRoom;
    FileRun run;  // The slab; with kReserveFirst what next_to_reserve() will now work on.
  };

  explicit SlabTable(const Options& options);

  Lease lease(std::uint32_t slot, std::uint64_t bytes_min, Pages pages = Pages::kMayWait);
  bool is_leased(std::uint32_t slot, const FileRun& slab) const;      // Exactly so.
  bool is_writable_by(std::uint32_t slot, const FileRun& run) const;  // Inside one of its slabs.
  std::vector<FileRun> slabs_of(std::uint32_t slot) const;

  // Takes back a slab in which `objects` (entry number to run) stay: their units are held until the last of them
  // is removed, the others are free at once.  REQUIRES: is_leased(slot, slab); objects inside it and disjoint.
  void release(std::uint32_t slot, const FileRun& slab, const std::map<std::uint32_t, FileRun>& objects);
  void remove_orphan(std::uint32_t entry);  // REQUIRES: is an orphan.
  const std::map<std::uint32_t, FileRun>& orphans() const { return orphans_; }

  // What to take from the machine next: for the lease that had to wait, else ahead of demand.
  std::optional<FileRun> next_to_reserve() const;
  void reserved(const FileRun& piece);  // REQUIRES: from next_to_reserve().

  std::uint64_t capacity() const { return options_.bytes; }
  std::uint64_t reserved_bytes() const { return reserved_bytes_; }
  std::uint64_t leased_bytes() const { return leased_bytes_; }
  std::uint64_t orphaned_bytes() const { return options_.bytes - leased_bytes_ - free_.free_bytes(); }
  std::uint64_t free_bytes() const { return free_.free_bytes(); }
  std::uint64_t largest_free_run() const { return free_.largest_run(); }
  std::uint64_t slab_size_for(std::uint64_t bytes_min) const;
  bool is_valid(std::string* why = nullptr) const;

 private:
  struct Slab {
    std::uint64_t size;
    std::uint32_t slot;
  };

  FileRun piece(std::size_t i) const;
  bool is_reserved(const FileRun& run) const;
  Lease grant(std::uint32_t slot, const FileRun& run);
  std::optional<FileRun> free_reserved(std::uint64_t size) const;
  bool orphan_in(const FileRun& unit) const;
  FileRun units_of(const FileRun& run) const;
  void free_unused(const FileRun& units);

  Options options_;
  RunAllocator free_;
  std::map<std::uint64_t, Slab> slabs_;                 // By offset.
  std::map<std::uint32_t, FileRun> orphans_;            // By entry.
  std::map<std::uint64_t, std::uint64_t> orphan_runs_;  // The same runs by offset: end.
  std::vector<bool> piece_reserved_;
  std::optional<FileRun> waiting_;  // A run that could be leased were it reserved.
  std::uint64_t reserved_bytes_ = 0;
  std::uint64_t leased_bytes_ = 0;
};

}  // namespace mobula::objstore
