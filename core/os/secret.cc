#include "core/os/secret.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "core/os/error.h"
#include "core/os/memory_file.h"
#include "core/os/random.h"

namespace mobula::os {
namespace {

using base::Code;
using base::Error;
using base::Result;

// Reads exactly `size` bytes and the end behind them; from the start where the file has one.
Result<void> read_all(const Fd& fd, std::byte* out, std::size_t size) {
  const bool seekable = ::lseek(fd.get(), 0, SEEK_CUR) >= 0;
  std::size_t have = 0;
  while (have < size) {
    const ssize_t n = seekable ? ::pread(fd.get(), out + have, size - have, static_cast<off_t>(have))
                               : ::read(fd.get(), out + have, size - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "reading the secret");
    if (n == 0) return Error{Code::kInvalid, "the secret has " + std::to_string(have) + " bytes"};
    have += static_cast<std::size_t>(n);
  }
  return {};
}

Result<void> write_all(int fd, base::ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "writing the secret");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Secret::Secret() {
  void* page = ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    std::perror("mobula: a page for the secret");
    std::abort();
  }
  page_ = static_cast<std::byte*>(page);
  ::madvise(page, page_size(), MADV_DONTDUMP);
  ::mlock(page, page_size());  // Fails where memlock is used up; then the page can be swapped, and no more.
}

Secret::Secret(Secret&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}

Secret& Secret::operator=(Secret&& other) noexcept {
  std::swap(page_, other.page_);
  return *this;
}

Secret::~Secret() {
  if (page_ == nullptr) return;
  ::explicit_bzero(page_, kBytes);
  ::munmap(page_, page_size());
}

Secret Secret::generate() {
  Secret out;
  fill_random(out.page_, kBytes);
  return out;
}

Result<Secret> Secret::from_bytes(base::ConstBytes bytes) {
  if (bytes.size() != kBytes) return Error{Code::kInvalid, "a secret of " + std::to_string(bytes.size()) + " bytes"};
  Secret out;
  std::memcpy(out.page_, bytes.data(), kBytes);
  return out;
}

Result<Secret> Secret::from_fd(const Fd& fd) {
  Secret out;
  if (auto read = read_all(fd, out.page_, kBytes); !read) return read.error();
  return out;
}

Result<Secret> Secret::read_file(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return error_from_errno(errno, path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return error_from_errno(errno, path);
  const bool is_private = S_ISREG(info.st_mode) && info.st_uid == ::geteuid() && (info.st_mode & 077) == 0;
  if (!is_private) return Error{Code::kDenied, path + " must be a file of yours with mode 0600"};
  if (info.st_size != kBytes) return Error{Code::kInvalid, path + " has " + std::to_string(info.st_size) + " bytes"};
  return from_fd(fd);
}

Result<Fd> Secret::to_memory_file() const {
  Fd file(::memfd_create("mobula-secret", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid()) return error_from_errno(errno, "memfd_create");
  if (auto written = write_all(file.get(), view()); !written) return written.error();
  const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::fcntl(file.get(), F_ADD_SEALS, seals) != 0) return error_from_errno(errno, "sealing the secret");
  return file;
}

Result<void> Secret::write_file(const std::string& path) const {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return error_from_errno(errno, path);
  return write_all(fd.get(), view());
}

bool Secret::equals(base::ConstBytes other) const {
  if (other.size() != kBytes) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < kBytes; ++i) difference |= std::to_integer<unsigned>(page_[i] ^ other[i]);
  return difference == 0;
}

}  // namespace mobula::os
