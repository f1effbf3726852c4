#include "objstore/logic/slab_heap.h"

#include <algorithm>
#include <cassert>

namespace mobula::objstore {

void SlabHeap::add(const FileRun& slab) {
  const auto [it, fresh] = slabs_.emplace(slab.offset, RunAllocator(slab, alignment_));
  assert(fresh);
  (void)fresh;
  holes_of(slab).emplace(hole_of(it->second), slab.offset);
}

std::uint64_t SlabHeap::hole_of(const RunAllocator& slab) const {
  if (is_large(slab.whole()) && !slab.is_empty()) return 0;
  return slab.largest_run();
}

SlabHeap::Slabs::iterator SlabHeap::slab_at(std::uint64_t offset) {
  const auto after = slabs_.upper_bound(offset);
  return after == slabs_.begin() ? slabs_.end() : std::prev(after);
}

std::optional<FileRun> SlabHeap::allocate_from(ByHole& holes, std::uint64_t size, std::uint64_t slab_size_max) {
  const auto fit = holes.lower_bound({size, 0});
  if (fit == holes.end()) return std::nullopt;
  RunAllocator& slab = slabs_.at(fit->second);
  if (slab.whole().size > slab_size_max) return std::nullopt;
  auto node = holes.extract(fit);
  const std::optional<FileRun> run = slab.allocate(size);
  node.value().first = hole_of(slab);
  holes.insert(std::move(node));
  return run;
}

std::optional<FileRun> SlabHeap::allocate(std::uint64_t size) {
  size = std::max(size, std::uint64_t{1});
  if (size > slab_bytes_ / 2) {
    if (const auto run = allocate_from(large_, size, 2 * size - 1)) return run;
  }
  return allocate_from(small_, size, ~std::uint64_t{0});
}

void SlabHeap::free(const FileRun& run) {
  const auto it = slab_at(run.offset);
  assert(it != slabs_.end() && it->second.whole().covers(run));
  RunAllocator& slab = it->second;
  ByHole& holes = holes_of(slab.whole());
  auto node = holes.extract({hole_of(slab), it->first});
  slab.free({run.offset, slab.round_up(std::max(run.size, std::uint64_t{1}))});
  node.value().first = hole_of(slab);
  holes.insert(std::move(node));
}

std::vector<FileRun> SlabHeap::take_empty(std::uint64_t keep_bytes) {
  std::vector<FileRun> empty;
  for (const auto& [offset, slab] : slabs_) {
    if (slab.is_empty()) empty.push_back(slab.whole());
  }
  std::stable_sort(empty.begin(), empty.end(), [](const FileRun& a, const FileRun& b) { return a.size < b.size; });
  std::uint64_t kept = 0;
  std::size_t keep = 0;
  while (keep < empty.size() && kept + empty[keep].size <= keep_bytes) kept += empty[keep++].size;
  empty.erase(empty.begin(), empty.begin() + static_cast<std::ptrdiff_t>(keep));
  for (const FileRun& slab : empty) {
    holes_of(slab).erase({slab.size, slab.offset});
    slabs_.erase(slab.offset);
  }
  return empty;
}

std::uint64_t SlabHeap::free_bytes() const {
  std::uint64_t sum = 0;
  for (const auto& [offset, slab] : slabs_) sum += slab.free_bytes();
  return sum;
}

FileRun SlabHeap::slab_of(const FileRun& run) const {
  const auto after = slabs_.upper_bound(run.offset);
  assert(after != slabs_.begin());
  return std::prev(after)->second.whole();
}

bool SlabHeap::overlaps(const FileRun& run) const {
  const auto after = slabs_.lower_bound(run.end());
  return after != slabs_.begin() && std::prev(after)->second.whole().end() > run.offset;
}

bool SlabHeap::is_valid() const {
  for (const auto& [offset, slab] : slabs_) {
    if (!slab.is_valid() || !holes_of(slab.whole()).contains({hole_of(slab), offset})) return false;
  }
  return small_.size() + large_.size() == slabs_.size();
}

}  // namespace mobula::objstore
