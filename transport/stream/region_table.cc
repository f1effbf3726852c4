#include "transport/stream/region_table.h"

#include <array>
#include <utility>

#include "core/os/random.h"

namespace mobula::transport::stream {

struct RegionTable::Entries {
  struct Known {
    Bytes memory;
    std::uint64_t cookie;
  };
  std::unordered_map<std::uint64_t, Known> known;
  std::uint64_t next = 1;
  Forgotten forgotten;
};

class RegionTable::Entry final : public Region {
 public:
  Entry(const std::shared_ptr<Entries>& entries, RegionKey key, Bytes memory)
      : entries_(entries), key_(key), memory_(memory) {}
  ~Entry() override {
    const auto entries = entries_.lock();
    if (!entries) return;
    entries->known.erase(key_.region);
    entries->forgotten(key_.region);
  }
  Bytes bytes() const override { return memory_; }
  ConstBytes remote_key() const override { return base::object_bytes(key_); }

 private:
  std::weak_ptr<Entries> entries_;
  RegionKey key_;
  Bytes memory_;
};

RegionTable::RegionTable(Forgotten forgotten) : entries_(std::make_shared<Entries>()) {
  entries_->forgotten = std::move(forgotten);
}
RegionTable::~RegionTable() = default;

Result<std::unique_ptr<Region>> RegionTable::add(Bytes memory) {
  if (memory.empty()) return base::Error{base::Code::kInvalid, "a region of no bytes cannot be registered"};
  RegionKey key{entries_->next++, 0};
  os::fill_random(&key.cookie, sizeof key.cookie);
  entries_->known.emplace(key.region, Entries::Known{memory, key.cookie});
  return std::unique_ptr<Region>(std::make_unique<Entry>(entries_, key, memory));
}

Result<Bytes> RegionTable::find(const Access& access) const {
  const auto it = entries_->known.find(access.region);
  if (it == entries_->known.end()) {
    return base::Error{base::Code::kNotFound, "no region " + std::to_string(access.region) + " is registered here"};
  }
  const auto& [memory, cookie] = it->second;
  if (cookie != access.cookie) {
    return base::Error{base::Code::kDenied, "the key of region " + std::to_string(access.region) + " is wrong"};
  }
  if (access.offset > memory.size() || access.size > memory.size() - access.offset) {
    return base::Error{base::Code::kInvalid, "bytes " + std::to_string(access.offset) + " + " +
                                                 std::to_string(access.size) + " leave a region of " +
                                                 std::to_string(memory.size()) + " bytes"};
  }
  return memory.subspan(access.offset, access.size);
}

std::optional<RegionKey> decode_region_key(ConstBytes key) {
  RegionKey out{};
  if (key.size() != sizeof out) return std::nullopt;
  std::memcpy(&out, key.data(), sizeof out);
  return out;
}

Result<Bytes> bytes_of(const LocalSpan& span) {
  const Bytes memory = span.region.bytes();
  if (span.offset > memory.size() || span.size > memory.size() - span.offset) {
    return base::Error{base::Code::kInvalid, "the local span of " + std::to_string(span.size) + " bytes at " +
                                                 std::to_string(span.offset) + " leaves a region of " +
                                                 std::to_string(memory.size()) + " bytes"};
  }
  return memory.subspan(span.offset, span.size);
}

}  // namespace mobula::transport::stream
