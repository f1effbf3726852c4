#include "objstore/client_impl.h"

#include <algorithm>
#include <limits>

#include "core/os/pages.h"

namespace mobula::objstore {

bool PinTable::pin(const ProcessIndex::Found& found) {
  const std::lock_guard lock(mutex_);
  // An entry that we have pinned cannot be reused, but it may have been freed since.
  const bool ours = counts_.of(found.entry) == 0 ? index_.pin(slot_, found) : index_.word(found.entry) == found.word;
  if (ours) counts_.add(found.entry);
  return ours;
}

void PinTable::pin_again(std::uint32_t entry) {
  const std::lock_guard lock(mutex_);
  counts_.add(entry);
}

void PinTable::unpin(std::uint32_t entry) {
  if (os::fork_generation() != generation_) return;
  const std::lock_guard lock(mutex_);
  if (counts_.remove(entry) == 0) index_.unpin(slot_, entry);
}

PopulatedPages::PopulatedPages(base::Bytes mapping, std::uint64_t chunk_bytes)
    : mapping_(mapping), chunk_bytes_(chunk_bytes), bits_(mapping.size() / chunk_bytes / 64 + 1) {}

std::uint64_t PopulatedPages::populate(const FileRun& run, const FileRun& within, std::uint64_t bytes_max) {
  std::uint64_t done = 0;
  for (std::uint64_t chunk = run.offset / chunk_bytes_; chunk * chunk_bytes_ < run.end() && done < bytes_max; ++chunk) {
    auto& word = bits_[chunk / 64];
    const std::uint64_t bit = std::uint64_t{1} << (chunk % 64);
    if (word.load(std::memory_order_relaxed) & bit) continue;
    const std::uint64_t begin = std::max(chunk * chunk_bytes_, within.offset);
    const std::uint64_t end = std::min((chunk + 1) * chunk_bytes_, within.end());
    // A failure costs faults, not correctness: the raylet has reserved the pages.
    (void)os::map_reserved(mapping_.subspan(begin, end - begin)).ok();
    word.fetch_or(bit, std::memory_order_relaxed);
    done += end - begin;
  }
  return done;
}

namespace {

// Large enough that a system call does not count, small enough that a first put of a few bytes does not wait for it.
constexpr std::uint64_t kPopulateBytes = 256u << 10;

}  // namespace

ClientImpl::ClientImpl(os::Fd control_file, os::Fd data_file, os::Mapping control_map, os::Mapping data_map,
                       SlotId slot_id, const ProcessIndex& shared_index, const ControlHeader& header)
    : control(std::move(control_file)),
      data(std::move(data_file)),
      control_mapping(std::move(control_map)),
      data_mapping(std::move(data_map)),
      slot(slot_id),
      index(shared_index),
      slab_bytes(header.slab_bytes),
      pins(shared_index, slot_id),
      populated({data_mapping.data(), data_mapping.size()}, std::max(kPopulateBytes, header.huge_page_bytes)),
      heap(header.slab_bytes, kObjectAlignment),
      owned(shared_index.entry_count()),
      frees_seen(shared_index.slot(slot_id).frees.load(std::memory_order_acquire)) {}

std::optional<Pin> ClientImpl::get(const std::shared_ptr<ClientImpl>& self, const ObjectId& id) {
  // Each failure to pin means that somebody else freed or moved the entry: others get on, so this ends.
  while (const auto found = index.find(id)) {
    // The reader begins at the object's first line, which its writer's core has: it comes while we pin.
    const std::uint64_t begin = index.run_of(found->entry).offset;
    if (begin < data_mapping.size()) __builtin_prefetch(data_mapping.data() + begin);
    if (!pins.pin(*found)) continue;
    index.touch(found->entry);
    const FileRun run = index.run_of(found->entry);
    // Other processes wrote this: it is held against the file before it becomes an address.
    if (run.end() < run.offset || run.end() > data_mapping.size()) {
      pins.unpin(found->entry);
      return std::nullopt;
    }
    Pin pin;
    pin.bytes_ = {data_mapping.data() + run.offset, run.size};
    pin.offset_ = run.offset;
    pin.entry_ = found->entry;
    pin.client_ = self;
    return pin;
  }
  return std::nullopt;
}

Result<Sealed> ClientImpl::seal(const FileRun& run, std::size_t size, const ObjectId& id, Copy copy) {
  if (index.find(id)) {
    heap.free(run);
    return Sealed::kAlreadyHere;
  }
  const auto entry = index.claim(id, slot);
  if (!entry) {
    return base::Error{base::Code::kExhausted, "the object store's index of " + std::to_string(index.entry_count()) +
                                                   " entries is full near object " + id.short_hex() + " (" +
                                                   std::to_string(owned.size()) + " objects are this process's)"};
  }
  owned.add(*entry, run);
  index.publish(*entry, {id, {run.offset, size}, copy == Copy::kSecondary});
  return Sealed::kNew;
}

bool ClientImpl::free(const ObjectId& id) {
  bool any = false;
  index.visit(id, [&](const ProcessIndex::Found& found) {
    if (!index.doom(found)) return false;
    any = true;
    if (index.finish(found.entry) && found.word.slot() == slot) {
      reap(found.entry);
      ++frees_seen;
    }
    return false;
  });
  return any;
}

void ClientImpl::reap(std::uint32_t entry) {
  if (!owned.has(entry)) return;
  heap.free(owned.remove(entry));
  index.reap(entry);
}

void ClientImpl::drop(const FileRun& run) {
  const std::lock_guard lock(dropped_mutex);
  dropped.push_back(run);
}

void ClientImpl::sweep(std::size_t visits_max) {
  // Read before looking, so that a free that comes while we look is looked for again.
  frees_seen = index.slot(slot).frees.load(std::memory_order_acquire);
  for (auto entry = owned.first(); entry && visits_max-- != 0;) {
    const auto next = owned.next(*entry);
    if (index.word(*entry).state() == EntryState::kFreed) reap(*entry);
    entry = next;
  }
  const std::lock_guard lock(dropped_mutex);
  for (const FileRun& run : dropped) heap.free(run);
  dropped.clear();
}

void ClientImpl::sweep_if_told() {
  const std::uint64_t frees = index.slot(slot).frees.load(std::memory_order_acquire);
  // Objects mostly go in the order in which they came; allocate() looks at all when it must.
  if (frees != frees_seen) sweep(static_cast<std::size_t>(4 * (frees - frees_seen)) + 16);
}

}  // namespace mobula::objstore
