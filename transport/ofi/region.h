#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "transport/ofi/provider.h"
#include "transport/ofi/wire.h"
#include "transport/transport.h"

namespace mobula::transport::ofi {

// The registered memory of one worker.
class RegionTable {
 public:
  explicit RegionTable(std::shared_ptr<Provider> provider) : provider_(std::move(provider)) {}
  // Regions that outlive it are spans of bytes from then on.
  ~RegionTable();
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;

  Result<std::unique_ptr<Region>> add(Bytes memory, fid_ep* endpoint);
  // Its registration; nullptr when it is not one of ours.
  const Registration* find(const Region& region) const;

 private:
  class Registered;
  using Live = std::vector<Registered*>;

  std::shared_ptr<Provider> provider_;
  std::shared_ptr<Live> live_ = std::make_shared<Live>();
};

// What a peer's fi_read or fi_write names as the address of a registered byte.
std::uint64_t remote_address(const Provider& provider, Bytes memory);

// The bytes of a local span; kInvalid when it leaves its region.
Result<Bytes> bytes_of(const LocalSpan& span);

// Whether a peer's region has these bytes.
Result<void> check_bounds(const RegionKey& key, std::uint64_t offset, std::size_t size);

}  // namespace mobula::transport::ofi
