#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace mobula::objstore {

// A stretch of the data file, in bytes.
struct FileRun {
  std::uint64_t offset = 0;
  std::uint64_t size = 0;

  std::uint64_t end() const { return offset + size; }
  bool covers(const FileRun& other) const { return offset <= other.offset && other.end() <= end(); }
  bool operator==(const FileRun&) const = default;
};

// Hands out stretches of one range, best fit, and joins neighbours when they come back.
//
// Best fit leaves large runs whole; two ends (long-lived small things at the high one) keep the two kinds
// from mixing.  Sizes are multiples of `granule`.  All operations are O(log free runs).
//
// Invariants: free runs do not touch each other; the two maps hold the same runs.
class RunAllocator {
 public:
  enum class End { kLow, kHigh };  // Which end of a run is cut, and which of equally good runs is taken.

  RunAllocator(FileRun whole, std::uint64_t granule);

  std::optional<FileRun> allocate(std::uint64_t size, End end = End::kLow);
  void take(const FileRun& run);  // REQUIRES: lies in one free run.
  // REQUIRES: was allocated, whole or as parts of what was.
  void free(const FileRun& run);

  std::uint64_t round_up(std::uint64_t size) const { return (size + granule_ - 1) / granule_ * granule_; }
  const FileRun& whole() const { return whole_; }
  std::uint64_t free_bytes() const { return free_bytes_; }
  std::uint64_t largest_run() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }
  std::size_t free_runs() const { return by_offset_.size(); }
  bool is_empty() const { return free_bytes_ == whole_.size; }  // Nothing is handed out.
  bool overlaps_free(const FileRun& run) const;
  const std::map<std::uint64_t, std::uint64_t>& by_offset() const { return by_offset_; }
  bool is_valid() const;

 private:
  void insert(const FileRun& run);
  void erase(const FileRun& run);

  FileRun whole_;
  std::uint64_t granule_;
  std::uint64_t free_bytes_ = 0;
  std::map<std::uint64_t, std::uint64_t> by_offset_;
  std::set<std::pair<std::uint64_t, std::uint64_t>> by_size_;  // (size, offset)
};

}  // namespace mobula::objstore
