#pragma once

#include <functional>
#include <memory>
#include <utility>

#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "transport/stream/byte_stream.h"

namespace mobula::transport::sock {

// A stream socket watched by an event loop.  Closed and no longer watched when destroyed.
class SocketStream final : public stream::ByteStream {
 public:
  struct Events {
    std::function<void()> readable;
    std::function<void()> writable;  // Only while it is wanted.
  };

  // The loop must outlive the stream.  No event comes before set().
  SocketStream(os::EventLoop& loop, os::Fd socket) : loop_(loop), socket_(std::move(socket)) {}
  ~SocketStream() override { stop(); }
  SocketStream(const SocketStream&) = delete;
  SocketStream& operator=(const SocketStream&) = delete;

  // An event may destroy the stream.
  void set(Events events);
  void stop();  // No more events.

  std::ptrdiff_t read(std::span<const iovec> parts) override;
  std::ptrdiff_t write(std::span<const iovec> parts) override;
  base::Error why() const override { return why_; }
  void want_writable(bool wanted) override;

  const os::Fd& socket() const { return socket_; }
  os::Fd release();                                                     // Stops, and gives the socket away.
  void set_deadline(base::Duration after, std::function<void()> late);  // Instead of the one before, if any.
  void clear_deadline();

 private:
  std::ptrdiff_t end(int error_number, const char* doing);

  os::EventLoop& loop_;
  os::Fd socket_;
  os::EventLoop::Id watch_ = 0;
  os::EventLoop::Id deadline_ = 0;
  bool watched_ = false;
  bool writable_wanted_ = false;
  base::Error why_;
  std::shared_ptr<void> alive_ = std::make_shared<char>();  // An event knows by it whether we are.
};

}  // namespace mobula::transport::sock
