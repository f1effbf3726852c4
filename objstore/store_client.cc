#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "core/base/streaming_copy.h"
#include "core/os/forks.h"
#include "core/os/pages.h"
#include "objstore/client_impl.h"
#include "objstore/store.h"

namespace mobula::objstore {
namespace {

constexpr std::size_t kPastCachesBytes = 32u << 20;
constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

FileRun allocated_run(std::uint64_t offset, std::size_t size) { return {offset, std::max<std::size_t>(size, 1)}; }
FileRun run_of(const SlabGrant& slab) { return {slab.offset, slab.size}; }

}  // namespace

Allocation& Allocation::operator=(Allocation&& other) noexcept {
  if (this == &other) return *this;
  if (client_) client_->drop(allocated_run(offset_, bytes_.size()));
  bytes_ = std::exchange(other.bytes_, {});
  offset_ = std::exchange(other.offset_, 0);
  slab_ = std::exchange(other.slab_, {});
  client_ = std::move(other.client_);
  other.client_.reset();
  return *this;
}

Allocation::~Allocation() {
  if (client_) client_->drop(allocated_run(offset_, bytes_.size()));
}

// memcpy writes past the caches too, but from a size of its own choice on: 24 to 190 MiB, as the machine's cache is.
void Allocation::write(std::size_t at, ConstBytes from) const {
  assert(at <= bytes_.size() && from.size() <= bytes_.size() - at);
  if (from.empty()) return;
  client_->populated.populate({offset_ + at, from.size()}, run_of(slab_), kAll);
  if (from.size() < kPastCachesBytes) {
    std::memcpy(bytes_.data() + at, from.data(), from.size());
  } else {
    base::copy_past_caches(bytes_.data() + at, from.data(), from.size());
  }
}

std::size_t Allocation::populate(std::size_t bytes_max) const {
  return client_->populated.populate(allocated_run(offset_, bytes_.size()), run_of(slab_), bytes_max);
}

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this == &other) return *this;
  if (client_) client_->pins.unpin(entry_);
  bytes_ = std::exchange(other.bytes_, {});
  offset_ = std::exchange(other.offset_, 0);
  entry_ = std::exchange(other.entry_, 0);
  client_ = std::move(other.client_);
  other.client_.reset();
  return *this;
}

Pin::~Pin() {
  if (client_) client_->pins.unpin(entry_);
}

Pin Pin::share() const {
  Pin copy;
  if (!client_) return copy;
  client_->pins.pin_again(entry_);
  copy.bytes_ = bytes_;
  copy.offset_ = offset_;
  copy.entry_ = entry_;
  copy.client_ = client_;
  return copy;
}

StoreClient::StoreClient(std::shared_ptr<ClientImpl> impl) : impl_(std::move(impl)) {}
StoreClient::StoreClient(StoreClient&& other) noexcept = default;
StoreClient::~StoreClient() = default;

Result<StoreClient> StoreClient::attach(os::Fd control, os::Fd data, SlotId slot) {
  os::watch_forks();
  auto first = os::map_file(control, 0, os::page_size(), os::Access::kReadOnly);
  if (!first) return first.error();
  const ControlHeader header = *reinterpret_cast<const ControlHeader*>(first->data());
  if (header.slot_count > EntryWord::kSlotMax + 1 || header.entry_count > (1ull << 31)) {
    return base::Error{base::Code::kInvalid, "not the control file of an object store"};
  }
  const ControlLayout layout(header.slot_count, header.entry_count);
  auto control_mapping = os::map_file(control, 0, layout.bytes, os::Access::kReadWrite);
  if (!control_mapping) return control_mapping.error();
  auto index = index_in({control_mapping->data(), control_mapping->size()});
  if (!index) return index.error();
  if (slot == 0 || slot >= index->slot_count() || index->slot(slot).attached.load(std::memory_order_acquire) == 0) {
    return base::Error{base::Code::kInvalid,
                       "process slot " + std::to_string(slot) + " of the object store is not ours"};
  }
  auto data_mapping = os::map_file(data, 0, header.data_bytes, os::Access::kReadOnly);
  if (!data_mapping) return data_mapping.error();
  if (header.huge_page_bytes != 0) os::ask_for_huge_pages({data_mapping->data(), data_mapping->size()});
  return StoreClient(std::make_shared<ClientImpl>(std::move(control), std::move(data), std::move(*control_mapping),
                                                  std::move(*data_mapping), slot, *index, header));
}

Result<Allocation> StoreClient::allocate(std::size_t size) {
  const FileRun want = allocated_run(0, size);
  impl_->sweep_if_told();
  auto run = impl_->heap.allocate(want.size);
  if (!run) {
    impl_->sweep(kAll);
    run = impl_->heap.allocate(want.size);
  }
  if (!run) {
    impl_->bytes_needed = want.size;
    return base::Error{base::Code::kExhausted, "no leased slab has room for " + std::to_string(size) + " bytes (" +
                                                   std::to_string(impl_->heap.free_bytes()) + " bytes free in " +
                                                   std::to_string(impl_->heap.slab_count()) + " slabs)"};
  }
  const FileRun slab = impl_->heap.slab_of(*run);
  Allocation out;
  out.bytes_ = {impl_->data_mapping.data() + run->offset, size};
  out.offset_ = run->offset;
  out.slab_ = {slab.offset, slab.size};
  out.client_ = impl_;
  return out;
}

std::uint64_t StoreClient::slab_bytes_needed() const { return impl_->bytes_needed; }

Result<void> StoreClient::add_slab(const SlabGrant& grant) {
  const FileRun slab = run_of(grant);
  const std::size_t page = os::page_size();
  const bool inside = slab.end() >= slab.offset && slab.end() <= impl_->data_mapping.size();
  if (slab.size == 0 || !inside || slab.offset % page != 0 || slab.size % page != 0 || impl_->heap.overlaps(slab)) {
    return base::Error{base::Code::kInvalid, "a slab of " + std::to_string(slab.size) + " bytes at " +
                                                 std::to_string(slab.offset) + " cannot be ours"};
  }
  const Bytes memory{impl_->data_mapping.data() + slab.offset, slab.size};
  if (auto done = os::set_access(memory, os::Access::kReadWrite); !done) return done;
  impl_->heap.add(slab);
  return {};
}

Result<Sealed> StoreClient::seal(Allocation&& allocation, const ObjectId& id, Copy copy) {
  assert(allocation.client_ == impl_);
  auto sealed =
      impl_->seal(allocated_run(allocation.offset_, allocation.bytes_.size()), allocation.bytes_.size(), id, copy);
  if (sealed) allocation.client_.reset();  // Its memory is the object's now, or free again.
  if (sealed) allocation = Allocation();
  return sealed;
}

void StoreClient::abort(Allocation&& allocation) {
  assert(allocation.client_ == impl_);
  impl_->heap.free(allocated_run(allocation.offset_, allocation.bytes_.size()));
  allocation.client_.reset();
  allocation = Allocation();
}

void StoreClient::expect(const ObjectId& id) const { impl_->expect(id); }
std::optional<Pin> StoreClient::get(const ObjectId& id) { return impl_->get(impl_, id); }
bool StoreClient::contains(const ObjectId& id) const { return impl_->index.find(id).has_value(); }
bool StoreClient::free(const ObjectId& id) { return impl_->free(id); }
void StoreClient::sweep() { impl_->sweep(kAll); }

std::vector<SlabGrant> StoreClient::take_empty_slabs(std::uint64_t keep_bytes) {
  impl_->sweep(kAll);
  std::vector<SlabGrant> out;
  for (const FileRun& slab : impl_->heap.take_empty(keep_bytes)) {
    // A stray write after this is our fault and is found here.  The mapping and its pages stay.
    (void)os::set_access({impl_->data_mapping.data() + slab.offset, slab.size}, os::Access::kReadOnly).ok();
    out.push_back({slab.offset, slab.size});
  }
  return out;
}

SlotId StoreClient::slot() const { return impl_->slot; }
int StoreClient::data_fd() const { return impl_->data.get(); }
Bytes StoreClient::mapping() const { return {impl_->data_mapping.data(), impl_->data_mapping.size()}; }

}  // namespace mobula::objstore
