#include "transport/sock/socket_stream.h"

#include <sys/epoll.h>

#include <cerrno>
#include <utility>

#include "core/os/error.h"
#include "core/os/stream_io.h"

namespace mobula::transport::sock {

void SocketStream::set(Events events) {
  stop();
  const std::uint32_t mask = EPOLLIN | (writable_wanted_ ? EPOLLOUT : 0u);
  watch_ = loop_.watch(socket_.get(), mask,
                       [this, alive = std::weak_ptr<void>(alive_), events = std::move(events)](std::uint32_t ready) {
                         const bool broken = (ready & (EPOLLERR | EPOLLHUP)) != 0;
                         if ((ready & EPOLLOUT) != 0 && !broken && writable_wanted_) events.writable();
                         if (((ready & EPOLLIN) != 0 || broken) && !alive.expired() && watched_) events.readable();
                       });
  watched_ = true;
}

void SocketStream::stop() {
  if (watched_) loop_.remove(watch_);
  watched_ = false;
  clear_deadline();
}

os::Fd SocketStream::release() {
  stop();
  return std::move(socket_);
}

std::ptrdiff_t SocketStream::read(std::span<const iovec> parts) {
  const os::Moved moved = os::receive_parts(socket_.get(), parts);
  if (moved.bytes != 0) return static_cast<std::ptrdiff_t>(moved.bytes);
  if (moved.error_number == EAGAIN) return kBlocked;
  return end(moved.error_number, "receive");
}

std::ptrdiff_t SocketStream::write(std::span<const iovec> parts) {
  const os::Moved moved = os::send_parts(socket_.get(), parts);
  if (moved.bytes != 0) return static_cast<std::ptrdiff_t>(moved.bytes);
  // Before the connection is there: the greeting's first bytes wait for those of the server.
  if (moved.error_number == EAGAIN || moved.error_number == ENOTCONN) return kBlocked;
  return end(moved.error_number, "send");
}

void SocketStream::want_writable(bool wanted) {
  if (writable_wanted_ == wanted) return;
  writable_wanted_ = wanted;
  if (watched_) loop_.modify(watch_, EPOLLIN | (wanted ? EPOLLOUT : 0u));
}

void SocketStream::set_deadline(base::Duration after, std::function<void()> late) {
  clear_deadline();
  deadline_ = loop_.after(after, std::move(late));
}

void SocketStream::clear_deadline() {
  if (deadline_ != 0) loop_.cancel(deadline_);
  deadline_ = 0;
}

std::ptrdiff_t SocketStream::end(int error_number, const char* doing) {
  why_ = error_number == 0 ? base::Error{base::Code::kUnavailable, "the peer closed the connection"}
                           : os::error_from_errno(error_number, doing);
  why_.code = base::Code::kUnavailable;
  return kEnded;
}

}  // namespace mobula::transport::sock
