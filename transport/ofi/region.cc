#include "transport/ofi/region.h"

#include <algorithm>
#include <utility>

namespace mobula::transport::ofi {
namespace {

base::Error out_of_bounds(std::uint64_t offset, std::uint64_t size, std::uint64_t region_size) {
  return {base::Code::kInvalid, "bytes " + std::to_string(offset) + " + " + std::to_string(size) +
                                    " leave a region of " + std::to_string(region_size) + " bytes"};
}

bool within(std::uint64_t offset, std::uint64_t size, std::uint64_t region_size) {
  return offset <= region_size && size <= region_size - offset;
}

}  // namespace

class RegionTable::Registered final : public Region {
 public:
  Registered(std::weak_ptr<Live> live, Bytes memory, Registration registration, const RegionKey& key)
      : live_(std::move(live)), memory_(memory), registration_(std::move(registration)), key_(encode(key)) {}
  ~Registered() override {
    if (const auto live = live_.lock()) std::erase(*live, this);
  }
  Bytes bytes() const override { return memory_; }
  ConstBytes remote_key() const override { return key_.view(); }

  const Registration& registration() const { return registration_; }
  void unregister() { const Registration gone = std::move(registration_); }

 private:
  std::weak_ptr<Live> live_;
  Bytes memory_;
  Registration registration_;
  base::Buffer key_;
};

RegionTable::~RegionTable() {
  for (Registered* region : *live_) region->unregister();
}

Result<std::unique_ptr<Region>> RegionTable::add(Bytes memory, fid_ep* endpoint) {
  if (memory.empty()) return base::Error{base::Code::kInvalid, "a region of no bytes cannot be registered"};
  constexpr std::uint64_t kAccess = FI_SEND | FI_RECV | FI_READ | FI_WRITE | FI_REMOTE_READ | FI_REMOTE_WRITE;
  auto registration = Registration::make(provider_, {memory, kAccess, endpoint});
  if (!registration) return registration.error();
  const RegionKey key{remote_address(*provider_, memory), memory.size(), registration->key()};
  auto region = std::make_unique<Registered>(live_, memory, *std::move(registration), key);
  live_->push_back(region.get());
  return std::unique_ptr<Region>(std::move(region));
}

const Registration* RegionTable::find(const Region& region) const {
  const auto is_it = [&region](const Registered* ours) { return static_cast<const Region*>(ours) == &region; };
  const auto it = std::find_if(live_->begin(), live_->end(), is_it);
  return it == live_->end() ? nullptr : &(*it)->registration();
}

std::uint64_t remote_address(const Provider& provider, Bytes memory) {
  return provider.asks(FI_MR_VIRT_ADDR) ? reinterpret_cast<std::uintptr_t>(memory.data()) : 0;
}

Result<Bytes> bytes_of(const LocalSpan& span) {
  const Bytes memory = span.region.bytes();
  if (!within(span.offset, span.size, memory.size())) return out_of_bounds(span.offset, span.size, memory.size());
  return memory.subspan(span.offset, span.size);
}

Result<void> check_bounds(const RegionKey& key, std::uint64_t offset, std::size_t size) {
  if (!within(offset, size, key.size)) return out_of_bounds(offset, size, key.size);
  return {};
}

}  // namespace mobula::transport::ofi
