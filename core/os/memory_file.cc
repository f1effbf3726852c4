#include "core/os/memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <utility>

#include "core/os/error.h"
#include "core/os/host.h"

namespace mobula::os {
namespace {

// fallocate() gives everything back and starts again when a signal comes, so it is asked for pieces.
constexpr std::size_t kPieceBytes = std::size_t{64} << 20;
// From this size on a reservation is first held against what is free: at a cgroup's limit the kernel
// kills somebody instead of refusing.
constexpr std::size_t kCheckedBytes = std::size_t{4} << 20;
constexpr std::size_t kReserveBytes = std::size_t{32} << 20;

bool adds_up(std::size_t offset, std::size_t size) {
  constexpr auto kMax = static_cast<std::size_t>(std::numeric_limits<off_t>::max());
  return size <= kMax && offset <= kMax - size;
}

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

base::Result<void> check_room(std::size_t size) {
  const std::uint64_t available = memory_available_bytes();
  if (available >= size + kReserveBytes) return {};
  return base::Error{base::Code::kExhausted, "cannot reserve " + mib(size) + " of shared memory: " + mib(available) +
                                                 " available of " + mib(memory_limit_bytes()) + ", of which " +
                                                 mib(kReserveBytes) + " stay free"};
}

}  // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  if (this != &other) {
    if (at_ != nullptr) ::munmap(at_, size_);
    at_ = std::exchange(other.at_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

Mapping::~Mapping() {
  if (at_ != nullptr) ::munmap(at_, size_);
}

base::Result<Fd> make_memory_file(const char* label, std::size_t size) {
  if (size == 0 || !adds_up(0, size)) {
    return base::Error{base::Code::kInvalid, "a memory file of " + std::to_string(size) + " bytes"};
  }
  Fd file(::memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return error_from_errno(errno, "memfd_create");
  if (::ftruncate(file.get(), static_cast<off_t>(size)) != 0)
    return error_from_errno(errno, "ftruncate of a memory file");
  // F_SEAL_SEAL: no receiver of the descriptor may forbid writing to the others.
  if (::fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return error_from_errno(errno, "sealing a memory file");
  }
  return file;
}

base::Result<void> reserve(const Fd& file, std::size_t offset, std::size_t size) {
  if (size == 0 || !adds_up(offset, size)) {
    return base::Error{base::Code::kInvalid,
                       "reserving " + std::to_string(size) + " bytes at " + std::to_string(offset)};
  }
  if (size >= kCheckedBytes) {
    if (auto room = check_room(size); !room) return room;
  }
  const std::size_t end = offset + size;
  while (offset < end) {
    const std::size_t piece = std::min(kPieceBytes, end - offset);
    if (::fallocate(file.get(), 0, static_cast<off_t>(offset), static_cast<off_t>(piece)) == 0) {
      offset += piece;
    } else if (errno != EINTR) {
      return error_from_errno(
          errno, "reserving " + mib(size) + " of shared memory (" + mib(memory_available_bytes()) + " available)");
    }
  }
  return {};
}

base::Result<Mapping> map_file(const Fd& file, std::size_t offset, std::size_t size, Access access) {
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return error_from_errno(errno, "fstat of a memory file");
  if (size == 0 || offset % page_size() != 0 || !adds_up(offset, size)) {
    return base::Error{base::Code::kInvalid, "mapping " + std::to_string(size) + " bytes at " + std::to_string(offset)};
  }
  if (info.st_size < 0 || offset + size > static_cast<std::size_t>(info.st_size)) {
    return base::Error{base::Code::kInvalid, "mapping " + std::to_string(size) + " bytes at " + std::to_string(offset) +
                                                 " of a file of " + std::to_string(info.st_size) + " bytes"};
  }
  const int protection = access == Access::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  void* at = ::mmap(nullptr, size, protection, MAP_SHARED, file.get(), static_cast<off_t>(offset));
  if (at == MAP_FAILED) return error_from_errno(errno, "mapping " + mib(size));
  return Mapping(at, size);
}

std::size_t page_size() {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

}  // namespace mobula::os
