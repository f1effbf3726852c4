#include "core/os/whole_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

#include "core/os/error.h"
#include "core/os/fd.h"

namespace mobula::os {
namespace {

using base::Code;
using base::Error;
using base::Result;

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

Result<void> write_all(int fd, base::ConstBytes bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "writing " + path);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  if (::fsync(fd) != 0) return error_from_errno(errno, "flushing " + path);
  return {};
}

}  // namespace

Result<void> write_whole_file(const std::string& path, base::ConstBytes bytes) {
  const std::string beside = path + ".new-" + std::to_string(::getpid());
  Fd file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return error_from_errno(errno, "making " + beside);
  auto written = write_all(file.get(), bytes, beside);
  if (written && ::rename(beside.c_str(), path.c_str()) != 0) written = error_from_errno(errno, "renaming to " + path);
  if (!written) {
    ::unlink(beside.c_str());
    return written;
  }
  const Fd directory(::open(parent_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.valid()) ::fsync(directory.get());  // Some file systems refuse it; the name is there all the same.
  return {};
}

Result<std::vector<std::byte>> read_whole_file(const std::string& path, std::size_t bytes_max) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid() && errno == ENOENT) return Error{Code::kNotFound, "there is no file " + path};
  if (!file.valid()) return error_from_errno(errno, "opening " + path);
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return error_from_errno(errno, "reading " + path);
  const auto size = static_cast<std::size_t>(info.st_size);
  if (!S_ISREG(info.st_mode) || size > bytes_max)
    return Error{Code::kInvalid, path + " is no file that can be read as a whole"};
  std::vector<std::byte> out(size);
  for (std::size_t at = 0; at < out.size();) {
    const ssize_t n = ::read(file.get(), out.data() + at, out.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error_from_errno(errno, "reading " + path);
    if (n == 0) return Error{Code::kInvalid, path + " has become shorter while it was read"};
    at += static_cast<std::size_t>(n);
  }
  return out;
}

Result<void> make_directories(const std::string& path) {
  if (path.empty() || path == "/" || path == ".") return {};
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return Error{Code::kInvalid, path + " is not a directory"};
  }
  if (auto above = make_directories(parent_of(path)); !above) return above;
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) return error_from_errno(errno, "making " + path);
  return {};
}

std::vector<std::string> list_directory(const std::string& path) {
  std::vector<std::string> out;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(path.c_str()), ::closedir);
  if (!stream) return out;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace mobula::os
