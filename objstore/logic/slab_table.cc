#include "objstore/logic/slab_table.h"

#include <algorithm>
#include <cassert>

namespace mobula::objstore {
namespace {

bool fail(std::string* why, const char* what) {
  if (why != nullptr) *why = what;
  return false;
}

}  // namespace

SlabTable::SlabTable(const Options& options)
    : options_(options),
      free_(FileRun{0, options.bytes}, options.unit),
      piece_reserved_((options.bytes + options.piece_bytes - 1) / options.piece_bytes) {
  assert(options.slab_bytes % options.unit == 0 && options.piece_bytes % options.unit == 0);
}

std::uint64_t SlabTable::slab_size_for(std::uint64_t bytes_min) const {
  return bytes_min <= options_.slab_bytes / 2 ? options_.slab_bytes : free_.round_up(bytes_min);
}

SlabTable::Lease SlabTable::lease(std::uint32_t slot, std::uint64_t bytes_min, Pages pages) {
  if (bytes_min > options_.bytes) return {};
  const std::uint64_t least = free_.round_up(std::max(bytes_min, std::uint64_t{1}));
  if (pages == Pages::kMustBeHere) {
    std::optional<FileRun> run = free_reserved(slab_size_for(bytes_min));
    if (!run) run = free_reserved(least);
    if (!run) return {};
    free_.take(*run);
    return grant(slot, *run);
  }
  const auto end = bytes_min <= options_.slab_bytes ? RunAllocator::End::kHigh : RunAllocator::End::kLow;
  std::optional<FileRun> run = free_.allocate(slab_size_for(bytes_min), end);
  if (!run) run = free_.allocate(least, end);  // A small slab is better than none.
  if (!run) return {};
  if (is_reserved(*run)) return grant(slot, *run);
  free_.free(*run);
  waiting_ = run;
  return {Answer::kReserveFirst, *run};
}

SlabTable::Lease SlabTable::grant(std::uint32_t slot, const FileRun& run) {
  if (waiting_ == run) waiting_.reset();
  slabs_.emplace(run.offset, Slab{run.size, slot});
  leased_bytes_ += run.size;
  return {Answer::kGranted, run};
}

// The first stretch of that size that is both free and reserved.
std::optional<FileRun> SlabTable::free_reserved(std::uint64_t size) const {
  for (const auto& [offset, length] : free_.by_offset()) {
    std::uint64_t begin = offset;
    for (std::uint64_t at = offset; at < offset + length;) {
      const FileRun here = piece(at / options_.piece_bytes);
      at = std::min(here.end(), offset + length);
      if (!is_reserved(here)) begin = at;
      if (at - begin >= size) return FileRun{begin, size};
    }
  }
  return std::nullopt;
}

bool SlabTable::is_leased(std::uint32_t slot, const FileRun& slab) const {
  const auto it = slabs_.find(slab.offset);
  return it != slabs_.end() && it->second.slot == slot && it->second.size == slab.size;
}

bool SlabTable::is_writable_by(std::uint32_t slot, const FileRun& run) const {
  if (run.end() < run.offset) return false;
  auto it = slabs_.upper_bound(run.offset);
  if (it == slabs_.begin()) return false;
  --it;
  return it->second.slot == slot && FileRun{it->first, it->second.size}.covers(run);
}

std::vector<FileRun> SlabTable::slabs_of(std::uint32_t slot) const {
  std::vector<FileRun> out;
  for (const auto& [offset, slab] : slabs_) {
    if (slab.slot == slot) out.push_back({offset, slab.size});
  }
  return out;
}

FileRun SlabTable::units_of(const FileRun& run) const {
  const std::uint64_t begin = run.offset / options_.unit * options_.unit;
  return {begin, free_.round_up(run.end() - begin)};
}

void SlabTable::release(std::uint32_t slot, const FileRun& slab, const std::map<std::uint32_t, FileRun>& objects) {
  assert(is_leased(slot, slab));
  (void)slot;
  slabs_.erase(slab.offset);
  leased_bytes_ -= slab.size;
  for (const auto& [entry, run] : objects) {
    assert(slab.covers(run));
    orphans_.emplace(entry, run);
    orphan_runs_.emplace(run.offset, run.end());
  }
  free_unused(slab);
}

// Frees those of `units` under which no orphan lies.  None of them is free before.
void SlabTable::free_unused(const FileRun& units) {
  std::uint64_t at = units.offset;
  while (at < units.end()) {
    // The first orphan that ends after `at`.
    auto it = orphan_runs_.upper_bound(at);
    if (it != orphan_runs_.begin() && std::prev(it)->second > at) --it;
    const bool more = it != orphan_runs_.end() && it->first < units.end();
    const FileRun held = more ? units_of({it->first, it->second - it->first}) : FileRun{units.end(), 0};
    if (held.offset > at) free_.free({at, held.offset - at});
    at = std::max(held.end(), at);
  }
}

bool SlabTable::orphan_in(const FileRun& unit) const {
  const auto it = orphan_runs_.lower_bound(unit.end());
  return it != orphan_runs_.begin() && std::prev(it)->second > unit.offset;
}

void SlabTable::remove_orphan(std::uint32_t entry) {
  const auto it = orphans_.find(entry);
  assert(it != orphans_.end());
  FileRun units = units_of(it->second);
  orphan_runs_.erase(it->second.offset);
  orphans_.erase(it);
  // Only its first and last unit can hold part of a neighbour.
  const std::uint64_t unit = options_.unit;
  if (orphan_in({units.offset, unit})) units = {units.offset + unit, units.size - unit};
  if (units.size != 0 && orphan_in({units.end() - unit, unit})) units.size -= unit;
  if (units.size != 0) free_.free(units);
}

FileRun SlabTable::piece(std::size_t i) const {
  const std::uint64_t offset = i * options_.piece_bytes;
  return {offset, std::min(options_.piece_bytes, options_.bytes - offset)};
}

bool SlabTable::is_reserved(const FileRun& run) const {
  for (std::size_t i = run.offset / options_.piece_bytes; i * options_.piece_bytes < run.end(); ++i) {
    if (!piece_reserved_[i]) return false;
  }
  return true;
}

std::optional<FileRun> SlabTable::next_to_reserve() const {
  if (waiting_) {
    for (std::size_t i = waiting_->offset / options_.piece_bytes; i * options_.piece_bytes < waiting_->end(); ++i) {
      if (!piece_reserved_[i]) return piece(i);
    }
  }
  const std::uint64_t used = options_.bytes - free_.free_bytes();
  if (reserved_bytes_ >= used + options_.ahead_bytes || reserved_bytes_ >= options_.bytes) return std::nullopt;
  // One piece at the high end, where small slabs come from, for three at the low end.
  const auto low = std::find(piece_reserved_.begin(), piece_reserved_.end(), false);
  const auto high = std::find(piece_reserved_.rbegin(), piece_reserved_.rend(), false);
  const auto low_done = static_cast<std::size_t>(low - piece_reserved_.begin());
  const auto high_done = static_cast<std::size_t>(high - piece_reserved_.rbegin());
  return high_done * 3 <= low_done ? piece(piece_reserved_.size() - 1 - high_done) : piece(low_done);
}

void SlabTable::reserved(const FileRun& piece) {
  const std::size_t i = piece.offset / options_.piece_bytes;
  assert(!piece_reserved_[i]);
  piece_reserved_[i] = true;
  reserved_bytes_ += piece.size;
}

bool SlabTable::is_valid(std::string* why) const {
  if (!free_.is_valid()) return fail(why, "free runs overlap or were not joined");
  std::map<std::uint64_t, std::uint64_t> tiles(free_.by_offset());
  std::uint64_t leased = 0;
  for (const auto& [offset, slab] : slabs_) {
    if (!tiles.emplace(offset, slab.size).second) return fail(why, "a slab begins where something else does");
    if (!is_reserved({offset, slab.size})) return fail(why, "a slab was leased whose pages are not reserved");
    leased += slab.size;
  }
  if (leased != leased_bytes_) return fail(why, "the sum of the slabs is not what is counted as leased");
  std::uint64_t orphan_end = 0;  // Of the units, which neighbours may share.
  std::uint64_t last_end = 0;
  for (const auto& [offset, end] : orphan_runs_) {
    if (offset < last_end) return fail(why, "two orphans overlap");
    last_end = end;
    FileRun units = units_of({offset, end - offset});
    if (units.offset < orphan_end) units = {orphan_end, units.end() - orphan_end};
    if (units.end() <= orphan_end || units.size == 0) continue;
    if (!tiles.emplace(units.offset, units.size).second) return fail(why, "an orphan lies on something else");
    orphan_end = units.end();
  }
  if (orphans_.size() != orphan_runs_.size()) return fail(why, "an orphan is counted twice");
  std::uint64_t at = 0;
  for (const auto& [offset, size] : tiles) {
    if (offset != at) return fail(why, offset > at ? "a run of the file belongs to nobody" : "a run has two holders");
    at = offset + size;
  }
  return at == options_.bytes || fail(why, "the end of the file belongs to nobody");
}

}  // namespace mobula::objstore
