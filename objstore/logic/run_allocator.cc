#include "objstore/logic/run_allocator.h"

#include <cassert>

namespace mobula::objstore {

RunAllocator::RunAllocator(FileRun whole, std::uint64_t granule) : whole_(whole), granule_(granule) {
  assert(granule != 0 && whole.size % granule == 0);
  if (whole.size != 0) insert(whole);
}

void RunAllocator::insert(const FileRun& run) {
  by_offset_.emplace(run.offset, run.size);
  by_size_.emplace(run.size, run.offset);
  free_bytes_ += run.size;
}

void RunAllocator::erase(const FileRun& run) {
  by_offset_.erase(run.offset);
  by_size_.erase({run.size, run.offset});
  free_bytes_ -= run.size;
}

std::optional<FileRun> RunAllocator::allocate(std::uint64_t size, End end) {
  size = round_up(size == 0 ? 1 : size);
  auto fit = by_size_.lower_bound({size, 0});
  if (fit == by_size_.end()) return std::nullopt;
  if (end == End::kHigh) fit = std::prev(by_size_.lower_bound({fit->first + 1, 0}));
  const FileRun from{fit->second, fit->first};
  erase(from);
  if (end == End::kLow) {
    if (from.size > size) insert({from.offset + size, from.size - size});
    return FileRun{from.offset, size};
  }
  if (from.size > size) insert({from.offset, from.size - size});
  return FileRun{from.end() - size, size};
}

void RunAllocator::take(const FileRun& run) {
  auto it = by_offset_.upper_bound(run.offset);
  assert(it != by_offset_.begin());
  --it;
  const FileRun from{it->first, it->second};
  assert(from.covers(run));
  erase(from);
  if (run.offset > from.offset) insert({from.offset, run.offset - from.offset});
  if (from.end() > run.end()) insert({run.end(), from.end() - run.end()});
}

void RunAllocator::free(const FileRun& run) {
  assert(run.size != 0 && run.size % granule_ == 0 && whole_.covers(run) && !overlaps_free(run));
  FileRun joined = run;
  const auto after = by_offset_.lower_bound(run.offset);
  const std::optional<FileRun> next = after != by_offset_.end() && after->first == run.end()
                                          ? std::optional(FileRun{after->first, after->second})
                                          : std::nullopt;
  if (after != by_offset_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == run.offset) {
      joined = {before->first, before->second + run.size};
      erase({before->first, before->second});
    }
  }
  if (next) {
    joined.size += next->size;
    erase(*next);
  }
  insert(joined);
}

bool RunAllocator::overlaps_free(const FileRun& run) const {
  auto it = by_offset_.lower_bound(run.offset);
  if (it != by_offset_.end() && it->first < run.end()) return true;
  if (it == by_offset_.begin()) return false;
  --it;
  return it->first + it->second > run.offset;
}

bool RunAllocator::is_valid() const {
  std::uint64_t sum = 0;
  std::optional<std::uint64_t> last_end;
  for (const auto& [offset, size] : by_offset_) {
    if (size == 0 || size % granule_ != 0 || !whole_.covers({offset, size})) return false;
    if (last_end && offset <= *last_end) return false;  // Overlaps, or was not joined.
    if (!by_size_.contains({size, offset})) return false;
    last_end = offset + size;
    sum += size;
  }
  return sum == free_bytes_ && by_size_.size() == by_offset_.size();
}

}  // namespace mobula::objstore
