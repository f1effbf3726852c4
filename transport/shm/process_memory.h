#pragma once

#include <sys/types.h>

#include <cstdint>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::transport::shm {

// Another process of this host, held by a pidfd, so that its number cannot come to mean somebody else.
class PeerProcess {
 public:
  PeerProcess() = default;
  explicit PeerProcess(pid_t pid);  // 0: a process that this one cannot see.

  pid_t pid() const { return pid_; }
  int pidfd() const { return pidfd_.get(); }  // Readable when the process has died; -1 when there is none.
  bool has_died() const;                      // For sure; false when it cannot be told.

  // Copies between its memory and ours through the kernel, without its help.  kDenied: the kernel does
  // not let us (another user, Yama, seccomp) and the peer has to take part.  kUnavailable: it has died.
  // kInvalid: there is no such memory.
  base::Result<void> read(std::uint64_t address, base::Bytes into) const;
  base::Result<void> write(base::ConstBytes from, std::uint64_t address) const;

 private:
  enum class Way { kRead, kWrite };
  base::Result<void> copy(Way way, std::uint64_t address, std::byte* local, std::size_t size) const;

  pid_t pid_ = 0;
  os::Fd pidfd_;
};

}  // namespace mobula::transport::shm
