#pragma once

#include <cstdint>
#include <string>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// A file that appears under its name whole, or not at all.  Until land() it lies beside it under a name that nobody
// else has; destroying it before removes it.
class LandingFile {
 public:
  // Room for all of it is taken at once: kExhausted, with the numbers, on a disk that lacks it.  `directory` must be
  // ours; `name` is a plain file name.
  static base::Result<LandingFile> create(const std::string& directory, const std::string& name, std::uint64_t bytes);
  LandingFile(LandingFile&& other) noexcept;
  LandingFile& operator=(LandingFile&&) = delete;
  ~LandingFile();

  base::Result<void> write(std::uint64_t offset, base::ConstBytes bytes);
  // Gives it its mode and name; what had the name before is replaced.
  base::Result<std::string> land(mode_t mode);

  const std::string& path() const { return path_; }  // Before land().
  const Fd& fd() const { return fd_; }               // Readable, too.

 private:
  LandingFile(Fd fd, std::string path, std::string target)
      : fd_(std::move(fd)), path_(std::move(path)), target_(std::move(target)) {}
  Fd fd_;
  std::string path_;
  std::string target_;
};

}  // namespace mobula::os
