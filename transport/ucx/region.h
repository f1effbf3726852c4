#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "transport/transport.h"
#include "transport/ucx/context.h"
#include "transport/ucx/wire.h"

namespace mobula::transport::ucx {

// The registered memory of one worker.
class RegionTable {
 public:
  explicit RegionTable(std::shared_ptr<Context> context);

  Result<std::unique_ptr<Region>> add(Bytes memory);

  // The bytes that a peer asks for by message: kNotFound, kDenied (wrong cookie) or kInvalid (out of bounds).
  Result<Bytes> find(const Access& access) const;

 private:
  struct Entry {
    Bytes memory;
    std::uint64_t cookie;
  };
  using Entries = std::unordered_map<std::uint64_t, Entry>;
  class Registered;

  std::shared_ptr<Context> context_;
  std::shared_ptr<Entries> entries_ = std::make_shared<Entries>();
};

// The bytes of a local span; kInvalid when it leaves its region.
Result<Bytes> bytes_of(const LocalSpan& span);

// Whether a peer's region has these bytes.
Result<void> check_bounds(const RegionKey& key, std::uint64_t offset, std::size_t size);

}  // namespace mobula::transport::ucx
