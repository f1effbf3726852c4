#include "core/os/landing_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "core/os/error.h"
#include "core/os/random.h"

namespace mobula::os {
namespace {

using base::Result;

std::string random_suffix() {
  std::array<unsigned char, 8> bytes;
  fill_random(bytes.data(), bytes.size());
  std::array<char, 2 * bytes.size() + 1> hex{};
  for (std::size_t i = 0; i < bytes.size(); ++i) std::snprintf(&hex[2 * i], 3, "%02x", bytes[i]);
  return hex.data();
}

std::string lack_of_room(const std::string& directory, std::uint64_t bytes) {
  return "room for " + std::to_string(bytes) + " bytes in " + directory;
}

}  // namespace

Result<LandingFile> LandingFile::create(const std::string& directory, const std::string& name, std::uint64_t bytes) {
  const std::string target = directory + "/" + name;
  std::string path = target + ".part-" + random_suffix();
  Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return error_from_errno(errno, "making " + path);
  LandingFile file(std::move(fd), std::move(path), target);
  const int error = ::posix_fallocate(file.fd_.get(), 0, static_cast<off_t>(bytes));
  if (error != 0) return error_from_errno(error, lack_of_room(directory, bytes));
  return file;
}

LandingFile::LandingFile(LandingFile&& other) noexcept
    : fd_(std::move(other.fd_)), path_(std::exchange(other.path_, {})), target_(std::move(other.target_)) {}

LandingFile::~LandingFile() {
  if (!path_.empty()) ::unlink(path_.c_str());
}

Result<void> LandingFile::write(std::uint64_t offset, base::ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return error_from_errno(n < 0 ? errno : ENOSPC, "writing " + path_);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<std::string> LandingFile::land(mode_t mode) {
  if (::fchmod(fd_.get(), mode) != 0) return error_from_errno(errno, "the mode of " + path_);
  // A program cannot be started while somebody has it open for writing: that must be over before it has its name.
  fd_.reset();
  if (::rename(path_.c_str(), target_.c_str()) != 0) return error_from_errno(errno, "renaming to " + target_);
  path_.clear();
  return target_;
}

}  // namespace mobula::os
