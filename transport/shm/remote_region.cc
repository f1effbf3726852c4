#include "transport/shm/remote_region.h"

#include <fcntl.h>

#include <string>

namespace mobula::transport::shm {

Result<void> RemoteRegion::check(const RegionKey& key, std::uint64_t offset, std::size_t bytes,
                                 os::Access wanted) const {
  if (key.cookie != cookie) {
    return base::Error{base::Code::kDenied, "wrong key for region " + std::to_string(key.region)};
  }
  if (offset > size || bytes > size - offset) {
    return base::Error{base::Code::kInvalid, std::to_string(bytes) + " bytes at " + std::to_string(offset) +
                                                 " of a region of " + std::to_string(size)};
  }
  if (wanted == os::Access::kReadWrite && access == os::Access::kReadOnly) {
    return base::Error{base::Code::kInvalid, "write to a read-only region"};
  }
  return {};
}

Result<RemoteRegion> open_remote_region(const RegionKey& key, const RegionInfo& info, const os::Fd* file) {
  RemoteRegion region;
  region.cookie = key.cookie;
  region.size = info.size;
  region.address = info.address;
  region.access = info.access == static_cast<std::uint64_t>(os::Access::kReadWrite) ? os::Access::kReadWrite
                                                                                    : os::Access::kReadOnly;
  if (file == nullptr || info.size == 0) return region;
  const int seals = ::fcntl(file->get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return base::Error{base::Code::kInvalid, "a region's memory file is not sealed against shrinking"};
  }
  const std::size_t skip = info.file_offset % os::page_size();
  if (info.size > SIZE_MAX - skip) return base::Error{base::Code::kInvalid, "a region's size"};
  auto mapping = os::map_file(*file, info.file_offset - skip, info.size + skip, region.access);
  if (!mapping) return mapping.error();
  region.mapping = *std::move(mapping);
  region.mapped = region.mapping.data() + skip;
  return region;
}

}  // namespace mobula::transport::shm
