#include "core/os/stream_io.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

namespace mobula::os {
namespace {

template <class Move>
Moved move_parts(std::span<const iovec> parts, Move move) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(parts.data());
  message.msg_iovlen = parts.size();
  for (;;) {
    const ssize_t n = move(message);
    if (n >= 0) return {static_cast<std::size_t>(n), 0};
    if (errno != EINTR) return {0, errno};
  }
}

}  // namespace

Moved send_parts(int socket, std::span<const iovec> parts) {
  return move_parts(parts, [&](const msghdr& m) { return ::sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT); });
}

Moved receive_parts(int socket, std::span<const iovec> parts) {
  return move_parts(parts, [&](msghdr& m) { return ::recvmsg(socket, &m, MSG_DONTWAIT); });
}

bool is_readable_now(int fd) {
  pollfd one{fd, POLLIN, 0};
  return ::poll(&one, 1, 0) > 0;
}

}  // namespace mobula::os
