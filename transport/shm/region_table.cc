#include "transport/shm/region_table.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "core/os/random.h"

namespace mobula::transport::shm {

struct RegionTable::Entries {
  std::unordered_map<std::uint64_t, OwnRegion> regions;
  std::uint64_t next_id = 1;  // Never used twice, so a stale key finds nothing.
  Gone gone;                  // Empty once the table is.
};

class RegionTable::Handle final : public Region {
 public:
  Handle(std::shared_ptr<Entries> entries, std::uint64_t id, const OwnRegion& region)
      : entries_(std::move(entries)),
        memory_(region.memory),
        key_{kRegionMagic, id, region.cookie, region.memory.size()} {}
  ~Handle() override {
    entries_->regions.erase(key_.region);
    if (entries_->gone) entries_->gone(key_.region);
  }
  Bytes bytes() const override { return memory_; }
  ConstBytes remote_key() const override { return base::object_bytes(key_); }

 private:
  std::shared_ptr<Entries> entries_;
  Bytes memory_;
  RegionKey key_;
};

RegionTable::RegionTable(Gone gone) : entries_(std::make_shared<Entries>()) { entries_->gone = std::move(gone); }

RegionTable::~RegionTable() {
  entries_->gone = nullptr;
  entries_->regions.clear();
}

std::unique_ptr<Region> RegionTable::add(OwnRegion region) {
  os::fill_random(&region.cookie, sizeof region.cookie);
  const std::uint64_t id = entries_->next_id++;
  auto handle = std::make_unique<Handle>(entries_, id, region);
  entries_->regions.emplace(id, std::move(region));
  return handle;
}

std::unique_ptr<Region> RegionTable::add_memory(Bytes memory) {
  OwnRegion region;
  region.memory = memory;
  return add(std::move(region));
}

Result<std::unique_ptr<Region>> RegionTable::add_file(int fd, std::size_t offset, Bytes mapped) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return base::Error{base::Code::kInvalid, "register_file: not a descriptor"};
  const auto file_size = static_cast<std::size_t>(info.st_size);
  if (offset > file_size || mapped.size() > file_size - offset) {
    return base::Error{base::Code::kInvalid, "register_file: " + std::to_string(mapped.size()) + " bytes at " +
                                                 std::to_string(offset) + " of a file of " + std::to_string(file_size)};
  }
  OwnRegion region;
  region.memory = mapped;
  if ((::fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) region.access = os::Access::kReadOnly;
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals >= 0 && (seals & F_SEAL_SHRINK) != 0) {
    region.file = os::Fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!region.file.valid()) return base::Error{base::Code::kExhausted, "register_file: no descriptor left"};
    region.file_offset = offset;
  }
  return add(std::move(region));
}

Result<const OwnRegion*> RegionTable::find(const RegionKey& key) const {
  const auto it = entries_->regions.find(key.region);
  if (it == entries_->regions.end()) {
    return base::Error{base::Code::kNotFound, "region " + std::to_string(key.region) + " is not registered"};
  }
  if (key.magic != kRegionMagic || it->second.cookie != key.cookie) {
    return base::Error{base::Code::kDenied, "wrong key for region " + std::to_string(key.region)};
  }
  return &it->second;
}

Result<Bytes> RegionTable::find(const Access& access, os::Access wanted) const {
  const auto region = find(RegionKey{kRegionMagic, access.region, access.cookie, 0});
  if (!region) return region.error();
  const Bytes memory = (*region)->memory;
  if (access.offset > memory.size() || access.size > memory.size() - access.offset) {
    return base::Error{base::Code::kInvalid, "out of a region's bounds"};
  }
  if (wanted == os::Access::kReadWrite && (*region)->access == os::Access::kReadOnly) {
    return base::Error{base::Code::kInvalid, "write to a read-only region"};
  }
  return memory.subspan(access.offset, access.size);
}

Result<RegionKey> decode_region_key(ConstBytes bytes) {
  RegionKey key{};
  if (bytes.size() == sizeof key) std::memcpy(&key, bytes.data(), sizeof key);
  if (key.magic != kRegionMagic) return base::Error{base::Code::kInvalid, "not a shm region's key"};
  return key;
}

Result<Bytes> bytes_of(const LocalSpan& span) {
  const Bytes memory = span.region.bytes();
  if (span.offset > memory.size() || span.size > memory.size() - span.offset) {
    return base::Error{base::Code::kInvalid, "out of the local region's bounds"};
  }
  return memory.subspan(span.offset, span.size);
}

}  // namespace mobula::transport::shm
