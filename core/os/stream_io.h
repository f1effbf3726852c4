#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <span>

namespace mobula::os {

// Scattered reads and writes of a stream socket, without an allocation whatever happens.
struct Moved {
  std::size_t bytes = 0;
  int error_number = 0;  // EAGAIN: nothing can be moved now.  0 with no bytes: the peer has closed.
};

// At most 64 parts, not all of them empty.  Neither blocks nor raises SIGPIPE.
Moved send_parts(int socket, std::span<const iovec> parts);
Moved receive_parts(int socket, std::span<const iovec> parts);

bool is_readable_now(int fd);  // Any descriptor that can be polled.

}  // namespace mobula::os
