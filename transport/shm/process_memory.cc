#include "transport/shm/process_memory.h"

#include <poll.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "core/os/process.h"

namespace mobula::transport::shm {
namespace {

base::Error explain(pid_t pid, int why) {
  const std::string what = "memory of process " + std::to_string(pid) + ": " + std::strerror(why);
  switch (why) {
    case ESRCH: return {base::Code::kUnavailable, what};
    case EFAULT: return {base::Code::kInvalid, what};
    case ENOMEM: return {base::Code::kExhausted, what};
    default: return {base::Code::kDenied, what};  // EPERM, ENOSYS, and whatever a sandbox answers.
  }
}

}  // namespace

PeerProcess::PeerProcess(pid_t pid) : pid_(pid) {
  if (pid > 0) pidfd_ = os::open_pidfd(pid);
}

bool PeerProcess::has_died() const {
  if (!pidfd_.valid()) return false;
  pollfd p{pidfd_.get(), POLLIN, 0};
  return ::poll(&p, 1, 0) > 0;
}

base::Result<void> PeerProcess::read(std::uint64_t address, base::Bytes into) const {
  if (auto done = copy(Way::kRead, address, into.data(), into.size()); !done) return done;
  // Alive after the copy means that the number was its own all the time.
  if (has_died()) return explain(pid_, ESRCH);
  return {};
}

base::Result<void> PeerProcess::write(base::ConstBytes from, std::uint64_t address) const {
  if (has_died()) return explain(pid_, ESRCH);
  return copy(Way::kWrite, address, const_cast<std::byte*>(from.data()), from.size());
}

base::Result<void> PeerProcess::copy(Way way, std::uint64_t address, std::byte* local, std::size_t size) const {
  if (!pidfd_.valid()) return explain(pid_, EPERM);
  while (size > 0) {
    iovec mine{local, size};
    iovec theirs{reinterpret_cast<void*>(address), size};
    const ssize_t n = way == Way::kRead ? ::process_vm_readv(pid_, &mine, 1, &theirs, 1, 0)
                                        : ::process_vm_writev(pid_, &mine, 1, &theirs, 1, 0);
    if (n <= 0) return explain(pid_, n < 0 ? errno : EFAULT);
    local += n;
    address += static_cast<std::uint64_t>(n);
    size -= static_cast<std::size_t>(n);
  }
  return {};
}

}  // namespace mobula::transport::shm
