#include "core/raylet/log_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "core/os/error.h"
#include "core/os/fd.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::Result;

bool is_log_name(const std::string& name) {
  if (name.empty() || name.size() > NAME_MAX || name.front() == '.') return false;
  return std::none_of(name.begin(), name.end(), [](char c) { return c == '/' || c == '\0'; });
}

// Where the last `lines` lines of the first `end` bytes begin, looking back no further than the limit.
std::uint64_t tail_begin(const os::Fd& file, std::uint64_t end, std::uint32_t lines) {
  std::vector<char> block(64 * 1024);
  const std::uint64_t floor = end > LogFiles::kTailBytesMax ? end - LogFiles::kTailBytesMax : 0;
  std::uint64_t left = lines;
  for (std::uint64_t at = end; at > floor;) {
    const std::uint64_t size = std::min<std::uint64_t>(block.size(), at - floor);
    at -= size;
    const ssize_t n = ::pread(file.get(), block.data(), size, static_cast<off_t>(at));
    if (n != static_cast<ssize_t>(size)) return end;
    for (std::uint64_t i = size; i-- > 0;) {
      // The end of the last line is not the beginning of another.
      if (block[i] == '\n' && at + i + 1 != end && --left == 0) return at + i + 1;
    }
  }
  return floor;
}

}  // namespace

proto::LogPiece LogFiles::list() const {
  struct Found {
    timespec when{};
    proto::LogFile file;
  };
  std::vector<Found> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory_.c_str()), ::closedir);
  while (const dirent* entry = stream == nullptr ? nullptr : ::readdir(stream.get())) {
    struct stat info {};
    if (!is_log_name(entry->d_name) ||
        ::fstatat(::dirfd(stream.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) {
      continue;
    }
    Found one{info.st_mtim, {}};
    one.file.set_name(entry->d_name);
    one.file.set_bytes(static_cast<std::uint64_t>(info.st_size));
    found.push_back(std::move(one));
  }
  proto::LogPiece out;
  if (found.size() > static_cast<std::size_t>(kFilesMax)) {
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
      return std::pair(a.when.tv_sec, a.when.tv_nsec) > std::pair(b.when.tv_sec, b.when.tv_nsec);
    });
    found.resize(kFilesMax);
    out.set_truncated(true);
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.file.name() < b.file.name(); });
  for (Found& one : found) {
    describe_(one.file);
    *out.add_files() = std::move(one.file);
  }
  out.set_directory(directory_);
  return out;
}

Result<proto::LogPiece> LogFiles::answer(const proto::LogQuery& query) const {
  if (query.file().empty()) return list();
  if (!is_log_name(query.file())) return Error{Code::kInvalid, "\"" + query.file() + "\" names no log"};
  if (query.size() > kPieceBytesMax)
    return Error{Code::kInvalid, "a piece of a log has at most " + std::to_string(kPieceBytesMax) + " bytes"};
  const os::Fd directory(::open(directory_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const os::Fd file(
      ::openat(directory.get(), query.file().c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info {};
  if (!file.valid()) {
    if (errno == ELOOP) return Error{Code::kInvalid, "\"" + query.file() + "\" names no log"};
    return os::error_from_errno(errno, query.file());
  }
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    return Error{Code::kInvalid, "\"" + query.file() + "\" names no log"};
  proto::LogPiece out;
  const auto end = static_cast<std::uint64_t>(info.st_size);
  if (query.size() == 0) {
    out.set_offset(query.tail_lines() == 0 ? end : tail_begin(file, end, query.tail_lines()));
    return out;
  }
  out.set_offset(query.offset());
  if (query.offset() >= end) return out;
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(query.size(), end - query.offset()));
  out.mutable_data()->resize(size);
  const ssize_t n = ::pread(file.get(), out.mutable_data()->data(), size, static_cast<off_t>(query.offset()));
  if (n < 0) return os::error_from_errno(errno, query.file());
  out.mutable_data()->resize(static_cast<std::size_t>(n));
  return out;
}

}  // namespace mobula::raylet
