#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "core/os/fd.h"
#include "core/os/memory_file.h"
#include "transport/shm/wire.h"
#include "transport/transport.h"

namespace mobula::transport::shm {

// Memory that this worker has registered, as it is shown to those who prove with the key that they may.
struct OwnRegion {
  std::uint64_t cookie = 0;
  Bytes memory;
  os::Fd file;  // Valid: peers may map it.  Sealed against shrinking.
  std::size_t file_offset = 0;
  os::Access access = os::Access::kReadWrite;
};

// The regions of one worker.  A Region that outlives its worker is memory that nobody reaches.
class RegionTable {
 public:
  using Gone = std::function<void(std::uint64_t region)>;

  explicit RegionTable(Gone gone);
  ~RegionTable();
  RegionTable(const RegionTable&) = delete;
  RegionTable& operator=(const RegionTable&) = delete;

  std::unique_ptr<Region> add_memory(Bytes memory);
  // Peers map it where the file allows it: a memory file that cannot shrink.  Else they read `mapped`
  // through the kernel.  A descriptor open for reading only makes the region read-only to peers.
  Result<std::unique_ptr<Region>> add_file(int fd, std::size_t offset, Bytes mapped);

  // kNotFound: it is gone.  kDenied: the cookie is wrong.
  Result<const OwnRegion*> find(const RegionKey& key) const;
  // The bytes that a peer asks to have copied.  kInvalid besides: out of bounds, or not writable.
  Result<Bytes> find(const Access& access, os::Access wanted) const;

 private:
  struct Entries;
  class Handle;
  std::unique_ptr<Region> add(OwnRegion region);
  std::shared_ptr<Entries> entries_;
};

Result<RegionKey> decode_region_key(ConstBytes key);
Result<Bytes> bytes_of(const LocalSpan& span);  // kInvalid when it leaves its region.

}  // namespace mobula::transport::shm
