#include "slurm/framed.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "core/os/error.h"
#include "core/os/event_loop.h"
#include "core/os/socket.h"

namespace mobula::slurm {
namespace {

using base::Code;
using base::Error;
using base::Result;

Result<void> receive_all(const os::Fd& socket, base::Bytes into, base::Time deadline) {
  while (!into.empty()) {
    const auto got = os::receive_some(socket, into);
    if (got && *got == 0) return Error{Code::kLost, "the peer has closed the connection"};
    if (got) {
      into = into.subspan(*got);
      continue;
    }
    if (got.error().code != Code::kUnavailable) return got.error();
    const auto ready = await(socket, POLLIN, deadline);
    if (!ready) return ready;
  }
  return {};
}

}  // namespace

Result<void> await(const os::Fd& fd, short events, base::Time deadline) {
  for (;;) {
    pollfd polled{fd.get(), events, 0};
    // Rounded up, so that the deadline has passed when nothing came.
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - os::now()).count();
    const int n = ::poll(&polled, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1'000'000'000)));
    if (n > 0) return {};
    if (n == 0) return Error{Code::kDeadline, "the peer does not answer in time"};
    if (errno != EINTR) return os::error_from_errno(errno, "poll");
  }
}

Result<void> send_framed(const os::Fd& socket, base::ConstBytes bytes, base::Time deadline) {
  base::Buffer frame;
  frame.put(static_cast<std::uint32_t>(bytes.size()));
  frame.append(bytes);
  base::ConstBytes left = frame.view();
  while (!left.empty()) {
    const auto sent = os::send_some(socket, left);
    if (sent) {
      left = left.subspan(*sent);
      continue;
    }
    if (sent.error().code != Code::kUnavailable) return sent.error();
    const auto ready = await(socket, POLLOUT, deadline);
    if (!ready) return ready;
  }
  return {};
}

Result<std::string> receive_framed(const os::Fd& socket, base::Time deadline) {
  std::uint32_t size = 0;
  auto got = receive_all(socket, {reinterpret_cast<std::byte*>(&size), sizeof size}, deadline);
  if (!got) return got.error();
  if (size > kFrameBytesMax) return Error{Code::kInvalid, "a message of " + std::to_string(size) + " bytes"};
  std::string out(size, '\0');
  got = receive_all(socket, {reinterpret_cast<std::byte*>(out.data()), out.size()}, deadline);
  if (!got) return got.error();
  return out;
}

}  // namespace mobula::slurm
