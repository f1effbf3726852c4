#include "objstore/store.h"

#include <algorithm>
#include <bit>
#include <new>
#include <utility>

#include "core/os/host.h"
#include "core/os/pages.h"
#include "objstore/store_impl.h"

namespace mobula::objstore {
namespace {

constexpr std::uint64_t kPlainUnit = 64u << 10;
constexpr std::size_t kIndexEntriesMin = 4096;
constexpr std::size_t kIndexEntriesMax = 1u << 24;
constexpr std::uint64_t kBytesPerEntry = 64u << 10;

std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) { return (n + unit - 1) / unit * unit; }
std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

StoreOptions settled(StoreOptions o, std::uint64_t unit) {
  o.bytes = round_up(o.bytes, unit);
  // So that a small store serves more than one process.
  o.slab_bytes = round_up(std::clamp(o.slab_bytes, unit, std::max(unit, o.bytes / 16)), unit);
  o.reserve_piece_bytes = round_up(std::max(o.reserve_piece_bytes, unit), unit);
  const std::size_t entries = o.index_entries != 0 ? o.index_entries : o.bytes / kBytesPerEntry;
  o.index_entries = std::bit_ceil(std::clamp(entries, o.index_entries != 0 ? 64 : kIndexEntriesMin, kIndexEntriesMax));
  return o;
}

}  // namespace

Store::Store(std::unique_ptr<StoreImpl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&& other) noexcept = default;
Store::~Store() = default;

Result<Store> Store::create(const StoreOptions& asked) {
  const bool huge = asked.huge_pages == HugePages::kTransparent && os::shared_huge_pages_on_request();
  const std::uint64_t huge_page_bytes = huge ? os::huge_page_size() : 0;
  const std::uint64_t unit = huge ? huge_page_bytes : kPlainUnit;
  if (asked.bytes == 0 || asked.process_slots == 0 || asked.process_slots > EntryWord::kSlotMax) {
    return base::Error{base::Code::kInvalid, "an object store of " + std::to_string(asked.bytes) + " bytes for " +
                                                 std::to_string(asked.process_slots) + " processes"};
  }
  const StoreOptions options = settled(asked, unit);
  const std::uint32_t slots = options.process_slots + 1;  // The first is the raylet's orphans'.
  const ControlLayout layout(slots, options.index_entries);
  SlabTable::Options table;
  table.bytes = options.bytes;
  table.unit = unit;
  table.slab_bytes = options.slab_bytes;
  table.piece_bytes = options.reserve_piece_bytes;
  table.ahead_bytes = options.extent_bytes;
  auto impl = std::make_unique<StoreImpl>(options, layout, table);

  auto control = os::make_memory_file("mobula-store-index", layout.bytes);
  if (!control) return control.error();
  auto data = os::make_memory_file("mobula-store", options.bytes);
  if (!data) return data.error();
  impl->control = std::move(*control);
  impl->data = std::move(*data);
  if (auto room = os::reserve(impl->control, 0, layout.pins_at); !room) return room.error();
  auto mapping = os::map_file(impl->control, 0, layout.bytes, os::Access::kReadWrite);
  if (!mapping) return mapping.error();
  impl->control_mapping = std::move(*mapping);
  if (huge) {
    auto mapped = os::map_file(impl->data, 0, options.bytes, os::Access::kReadWrite);
    if (!mapped) return mapped.error();
    impl->data_mapping = std::move(*mapped);
    os::ask_for_huge_pages({impl->data_mapping.data(), impl->data_mapping.size()});
    impl->huge_page_bytes = huge_page_bytes;
  }
  auto* header = new (impl->control_mapping.data()) ControlHeader;
  header->slot_count = slots;
  header->entry_count = options.index_entries;
  header->data_bytes = options.bytes;
  header->slab_bytes = options.slab_bytes;
  header->huge_page_bytes = impl->huge_page_bytes;
  auto index = index_in({impl->control_mapping.data(), impl->control_mapping.size()});
  if (!index) return index.error();
  impl->index = *index;
  impl->slot_reserved.resize(slots, false);
  impl->adopted.resize(options.index_entries, 0);
  return Store(std::move(impl));
}

Result<AttachGrant> Store::attach(pid_t pid) {
  for (SlotId slot = 1; slot < impl_->index.slot_count(); ++slot) {
    auto& shared = impl_->index.slot(slot);
    if (shared.attached.load(std::memory_order_relaxed) != 0) continue;
    if (!impl_->slot_reserved[slot]) {
      auto room = os::reserve(impl_->control, impl_->layout.pin_row_at(slot), impl_->layout.pin_row_bytes);
      if (!room) return room.error();
      impl_->slot_reserved[slot] = true;
    }
    shared.pid.store(static_cast<std::uint32_t>(pid), std::memory_order_relaxed);
    shared.attached.store(1, std::memory_order_seq_cst);
    return AttachGrant{slot, impl_->control.get(), impl_->data.get()};
  }
  return base::Error{base::Code::kExhausted, "all " + std::to_string(impl_->index.slot_count() - 1) +
                                                 " process slots of the object store are taken"};
}

bool StoreImpl::is_attached(SlotId slot) const {
  return slot != kRayletSlot && slot < index.slot_count() &&
         index.slot(slot).attached.load(std::memory_order_relaxed) != 0;
}

base::Error StoreImpl::full(std::uint64_t bytes_min) const {
  return {base::Code::kExhausted, "no run of " + std::to_string(bytes_min) + " bytes in the object store: " +
                                      stats().to_string() + (reserve_error ? "; " + reserve_error->what : "")};
}

Result<SlabGrant> StoreImpl::lease(SlotId slot, std::uint64_t bytes_min) {
  if (!is_attached(slot)) {
    return base::Error{base::Code::kInvalid,
                       "a slab for process slot " + std::to_string(slot) + ", which is not attached"};
  }
  if (bytes_min > options.bytes) {
    return base::Error{base::Code::kInvalid, std::to_string(bytes_min) + " bytes are more than the object store's " +
                                                 std::to_string(options.bytes)};
  }
  SlabTable::Lease lease = table.lease(slot, bytes_min);
  if (lease.answer == SlabTable::Answer::kReserveFirst) {
    if (!reserve_error) {
      return base::Error{base::Code::kUnavailable,
                         "pages for a slab of " + mib(lease.run.size) + " are being reserved"};
    }
    lease = table.lease(slot, bytes_min, SlabTable::Pages::kMustBeHere);
  }
  if (lease.answer != SlabTable::Answer::kGranted) return full(bytes_min);
  return SlabGrant{lease.run.offset, lease.run.size};
}

Result<void> StoreImpl::reserve(const FileRun& piece) {
  if (table.reserved_bytes() + piece.size > options.reserve_limit) {
    return base::Error{base::Code::kExhausted, "the object store may take " + mib(options.reserve_limit) + " and has " +
                                                   mib(table.reserved_bytes())};
  }
  const std::uint64_t available = os::memory_available_bytes();
  if (available < piece.size + options.keep_free_bytes) {
    return base::Error{base::Code::kExhausted, "the machine has " + mib(available) + " available, of which " +
                                                   mib(options.keep_free_bytes) + " stay free; the object store has " +
                                                   mib(table.reserved_bytes())};
  }
  if (huge_page_bytes != 0) return os::populate({data_mapping.data() + piece.offset, piece.size});
  return os::reserve(data, piece.offset, piece.size);
}

bool StoreImpl::reserve_more() {
  const auto piece = table.next_to_reserve();
  if (!piece) return false;
  const auto done = reserve(*piece);
  if (!done) {
    reserve_error = done.error();
    return false;
  }
  reserve_error.reset();
  table.reserved(*piece);
  return table.next_to_reserve().has_value();
}

Result<SlabGrant> Store::lease_slab(SlotId slot, std::uint64_t bytes_min) { return impl_->lease(slot, bytes_min); }

Result<SlabGrant> Store::lease_slab_reserving(SlotId slot, std::uint64_t bytes_min) {
  auto lease = impl_->lease(slot, bytes_min);
  while (!lease && lease.error().code == base::Code::kUnavailable) {
    impl_->reserve_more();  // Goes on, or leaves the error for which the next lease is refused.
    lease = impl_->lease(slot, bytes_min);
  }
  return lease;
}

Result<void> Store::return_slab(SlotId slot, const SlabGrant& slab) { return impl_->return_slabs(slot, {slab}); }
Result<void> Store::return_slabs(SlotId slot, const std::vector<SlabGrant>& slabs) {
  return impl_->return_slabs(slot, slabs);
}
Reclaimed Store::reclaim(SlotId slot) { return impl_->reclaim(slot); }
bool Store::free(const ObjectId& id) { return impl_->free(id); }
bool Store::contains(const ObjectId& id) const { return impl_->index.find(id).has_value(); }
std::uint64_t Store::evict_secondary(std::uint64_t bytes_needed) { return impl_->evict_secondary(bytes_needed); }
bool Store::reserve_more() { return impl_->reserve_more(); }
const std::optional<base::Error>& Store::reserve_error() const { return impl_->reserve_error; }
void Store::sweep() { impl_->sweep(); }
StoreStats Store::stats() const { return impl_->stats(); }
std::string Store::memory_report() const { return impl_->memory_report(); }
bool Store::is_valid(std::string* why) const { return impl_->is_valid(why); }
int Store::control_fd() const { return impl_->control.get(); }
int Store::data_fd() const { return impl_->data.get(); }

bool Store::adopt(const ObjectId& id) {
  return impl_->index.visit(id, [&](const ProcessIndex::Found& found) {
    impl_->adopted[found.entry] = found.word.generation() + 1;
    return true;
  });
}

}  // namespace mobula::objstore
