#include "transport/ucx/region.h"

#include <utility>

#include "core/os/random.h"

namespace mobula::transport::ucx {
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
  Registered(std::shared_ptr<Context> context, std::weak_ptr<Entries> entries, std::uint64_t id, Bytes memory)
      : context_(std::move(context)), entries_(std::move(entries)), id_(id), memory_(memory) {}
  ~Registered() override {
    if (const auto entries = entries_.lock()) entries->erase(id_);
    if (memh_ != nullptr) ucp_mem_unmap(context_->get(), memh_);
  }

  Result<void> open(std::uint64_t cookie) {
    RegionKey key{id_, cookie, reinterpret_cast<std::uintptr_t>(memory_.data()), memory_.size(), {}};
    if (!context_->one_sided()) {
      key_ = encode(key);
      return {};
    }
    if (auto pinned = pin(); !pinned) return pinned;
    void* rkey = nullptr;
    std::size_t rkey_bytes = 0;
    const ucs_status_t status = ucp_rkey_pack(context_->get(), memh_, &rkey, &rkey_bytes);
    if (status != UCS_OK) return error_of("packing a region's remote key", status);
    key.rkey = {static_cast<const std::byte*>(rkey), rkey_bytes};
    key_ = encode(key);
    ucp_rkey_buffer_release(rkey);
    if (key_.size() <= kRegionKeyBytesMax) return {};
    return base::Error{base::Code::kExhausted, "a remote key of " + std::to_string(key_.size()) +
                                                   " bytes is too long: name fewer devices in UCX_NET_DEVICES"};
  }

  Bytes bytes() const override { return memory_; }
  ConstBytes remote_key() const override { return key_.view(); }

 private:
  Result<void> pin() {
    ucp_mem_map_params_t params{};
    params.field_mask = UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH;
    params.address = memory_.data();
    params.length = memory_.size();
    const ucs_status_t status = ucp_mem_map(context_->get(), &params, &memh_);
    if (status == UCS_OK) return {};
    memh_ = nullptr;
    return base::Error{base::Code::kExhausted,
                       error_of("registering " + std::to_string(memory_.size()) +
                                    " bytes with the RDMA devices (is the memlock limit too low?)",
                                status)
                           .what};
  }

  std::shared_ptr<Context> context_;
  std::weak_ptr<Entries> entries_;
  std::uint64_t id_;
  Bytes memory_;
  ucp_mem_h memh_ = nullptr;
  base::Buffer key_;
};

RegionTable::RegionTable(std::shared_ptr<Context> context) : context_(std::move(context)) {}

Result<std::unique_ptr<Region>> RegionTable::add(Bytes memory) {
  if (memory.empty()) return base::Error{base::Code::kInvalid, "a region of no bytes cannot be registered"};
  // Random ids: peers cache what they make of a key under its id, and must never mistake one region for another.
  std::uint64_t random[2];
  os::fill_random(random, sizeof random);
  const auto [id, cookie] = random;
  auto region = std::make_unique<Registered>(context_, entries_, id, memory);
  if (auto opened = region->open(cookie); !opened) return opened.error();
  entries_->emplace(id, Entry{memory, cookie});
  return std::unique_ptr<Region>(std::move(region));
}

Result<Bytes> RegionTable::find(const Access& access) const {
  const auto it = entries_->find(access.region);
  if (it == entries_->end()) return base::Error{base::Code::kNotFound, "no such region is registered"};
  const auto& [memory, cookie] = it->second;
  if (cookie != access.cookie) return base::Error{base::Code::kDenied, "the key of a region is wrong"};
  if (!within(access.offset, access.size, memory.size())) {
    return out_of_bounds(access.offset, access.size, memory.size());
  }
  return memory.subspan(access.offset, access.size);
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

}  // namespace mobula::transport::ucx
