#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>

#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "transport/handshake.h"
#include "transport/sock/address.h"
#include "transport/sock/socket_stream.h"
#include "transport/stream/greeting.h"

namespace mobula::transport::sock {

// Listens, and hands over the connections whose peers have proved themselves.
//
// At most kHalfOpenMax handshakes are open.  When they are, further connections wait in the kernel's queue
// for as long as an honest peer could need; then the oldest handshake makes room, so that peers that connect
// and say nothing hold up the others but do not keep them out.
class Acceptor {
 public:
  static constexpr std::size_t kHalfOpenMax = 64;

  struct Proven {
    std::unique_ptr<SocketStream> stream;
    PeerIdentity peer;
    DirectionKeys keys;
    pid_t pid = 0;  // Unix sockets.
  };
  using Accepted = std::function<void(Proven&&)>;  // May destroy the acceptor.
  struct Options {
    Credentials credentials;
    base::Duration handshake_timeout = std::chrono::seconds(2);
  };

  // TCP: the port is ignored, a free one is taken.
  static base::Result<std::unique_ptr<Acceptor>> listen(os::EventLoop& loop, const SocketAddress& address,
                                                        const Options& options, Accepted accepted);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  const SocketAddress& address() const { return address_; }
  std::uint64_t refused() const { return refused_; }

 private:
  struct HalfOpen;
  using Place = std::list<HalfOpen>::iterator;

  Acceptor(os::EventLoop& loop, SocketAddress address, os::Fd listener, const Options& options, Accepted accepted);
  void on_acceptable();
  bool make_room();
  void admit(os::Fd socket);
  void drive(Place place);
  void shed();
  void pause(base::Duration pause);
  void resume();
  void refuse(const std::string& why);

  os::EventLoop& loop_;
  const SocketAddress address_;
  const Options options_;
  Accepted accepted_;
  os::Fd listener_;
  os::Fd reserve_;  // Given up when descriptors run out, to accept and close the one that waits.
  os::EventLoop::Id watch_ = 0;
  os::EventLoop::Id paused_ = 0;
  std::list<HalfOpen> half_open_;  // Oldest first.
  std::uint64_t refused_ = 0;
  std::uint64_t logged_refused_ = 0;
  base::Time logged_at_{};
  std::shared_ptr<void> alive_ = std::make_shared<char>();
};

}  // namespace mobula::transport::sock
