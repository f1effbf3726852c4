#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "transport/stream/wire.h"
#include "transport/transport.h"

namespace mobula::transport::stream {

// What a remote key holds.  The cookie is random, so that a key cannot be made up.
struct RegionKey {
  std::uint64_t region;
  std::uint64_t cookie;
};
std::optional<RegionKey> decode_region_key(ConstBytes key);

// The registered memory of one worker.  Must outlive none of its regions: one that lives longer stays a
// span of bytes that nobody can reach.
class RegionTable {
 public:
  using Forgotten = std::function<void(std::uint64_t region)>;

  // `forgotten` is called when a region goes, before its memory may.
  explicit RegionTable(Forgotten forgotten);
  ~RegionTable();
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;

  Result<std::unique_ptr<Region>> add(Bytes memory);

  // The bytes that a peer asks for.  kNotFound, kDenied (wrong cookie) or kInvalid (out of bounds).
  Result<Bytes> find(const Access& access) const;

 private:
  struct Entries;
  class Entry;
  std::shared_ptr<Entries> entries_;
};

// The bytes of a local span; kInvalid when it leaves its region.
Result<Bytes> bytes_of(const LocalSpan& span);

}  // namespace mobula::transport::stream
