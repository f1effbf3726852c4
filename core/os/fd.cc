#include "core/os/fd.h"

#include <fcntl.h>
#include <unistd.h>

namespace mobula::os {

void Fd::reset() {
  // Linux frees the number even when close() reports EINTR, so it is never repeated.
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Fd Fd::duplicate() const { return Fd(fd_ < 0 ? -1 : ::fcntl(fd_, F_DUPFD_CLOEXEC, 3)); }

}  // namespace mobula::os
