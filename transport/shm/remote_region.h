#pragma once

#include <cstdint>

#include "core/os/memory_file.h"
#include "transport/shm/wire.h"
#include "transport/transport.h"

namespace mobula::transport::shm {

// A peer's region as this process reaches it: mapped, or through the kernel, or only by asking the peer.
struct RemoteRegion {
  std::uint64_t cookie = 0;
  std::uint64_t size = 0;
  std::uint64_t address = 0;  // In the peer.
  os::Access access = os::Access::kReadOnly;
  os::Mapping mapping;          // Valid: the peer's own pages.
  std::byte* mapped = nullptr;  // The region's first byte within it.

  // kInvalid, kDenied: as the owner would answer.
  Result<void> check(const RegionKey& key, std::uint64_t offset, std::size_t bytes, os::Access wanted) const;
};

// Takes what the owner sent.  kInvalid when the descriptor is not what the owner says it is: touching such
// a mapping could fault.
Result<RemoteRegion> open_remote_region(const RegionKey& key, const RegionInfo& info, const os::Fd* file);

}  // namespace mobula::transport::shm
