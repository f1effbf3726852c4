#pragma once

#include <cstddef>
#include <string>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// The 32 bytes that a job's processes share and nobody else knows.
//
// They lie in a page of their own: locked where the limit allows it, kept out of core dumps, inherited
// by fork (workers come from the zygote), wiped when destroyed.  They are never in argv, in the
// environment or in a log: processes hand them on by descriptor.
class Secret {
 public:
  static constexpr std::size_t kBytes = 32;

  static Secret generate();                                        // From getrandom().
  static base::Result<Secret> from_bytes(base::ConstBytes bytes);  // kInvalid unless there are kBytes.

  // From a memory file, a file or the reading end of a pipe that holds exactly kBytes.  The descriptor
  // stays open.
  static base::Result<Secret> from_fd(const Fd& fd);
  // From a regular file, not a symbolic link, that is ours and that nobody else may touch; else kDenied.
  static base::Result<Secret> read_file(const std::string& path);

  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  // A sealed memory file, for children: they may each call from_fd().
  base::Result<Fd> to_memory_file() const;
  // Makes the file with mode 0600; kInvalid when something has that name.
  base::Result<void> write_file(const std::string& path) const;

  base::ConstBytes view() const { return {page_, kBytes}; }
  bool equals(base::ConstBytes other) const;  // In a time that does not depend on the contents.

 private:
  Secret();
  std::byte* page_ = nullptr;
};

}  // namespace mobula::os
