#include "transport/shm/doorbell.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

namespace mobula::transport::shm {

base::Result<Doorbell> Doorbell::create() {
  auto memory = os::make_memory_file("mobula-doorbell", os::page_size());
  if (!memory) return memory.error();
  auto page = os::map_file(*memory, 0, os::page_size(), os::Access::kReadWrite);
  if (!page) return page.error();
  os::Fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event.valid()) {
    return base::Error{base::Code::kExhausted, std::string("cannot make an eventfd: ") + std::strerror(errno)};
  }
  return Doorbell(*std::move(memory), std::move(event), *std::move(page));
}

base::Result<PeerDoorbell> PeerDoorbell::open(const os::Fd& memory, os::Fd event) {
  const int seals = ::fcntl(memory.get(), F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return base::Error{base::Code::kInvalid, "a doorbell's memory file is not sealed against shrinking"};
  }
  // A pipe or a socket would block whoever rings, or end it with SIGPIPE; an eventfd has no type.
  struct stat info {};
  if (::fstat(event.get(), &info) != 0 || (info.st_mode & S_IFMT) != 0) {
    return base::Error{base::Code::kInvalid, "a doorbell's event is no eventfd"};
  }
  auto page = os::map_file(memory, 0, os::page_size(), os::Access::kReadWrite);
  if (!page) return page.error();
  return PeerDoorbell(std::move(event), *std::move(page));
}

void PeerDoorbell::ring() const {
  // acq_rel: whoever takes the 1 is the one that writes.
  if (word().exchange(0, std::memory_order_acq_rel) == 0) return;
  const std::uint64_t one = 1;
  // The peer watches edges and never reads the counter; it would take 2^64 wake-ups to fill it.
  [[maybe_unused]] const auto n = ::write(event_.get(), &one, sizeof one);
}

}  // namespace mobula::transport::shm
