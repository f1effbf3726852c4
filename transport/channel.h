#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "transport/transport.h"

namespace mobula::transport {

// A frame on a Channel: 16 bytes of header (u32 payload length, u16 type, u16 flags, u64 request id) and
// the payload.  Requests and replies carry the same id; flags bit 0 marks a reply, bit 1 an error reply
// whose payload is "u8 code, text".
struct Frame {
  std::uint16_t type = 0;
  std::uint16_t flags = 0;
  std::uint64_t request = 0;
  ConstBytes payload;       // Lives until the callback returns.
  std::vector<os::Fd> fds;  // Unix sockets only; at most 4.
};
inline constexpr std::uint16_t kFlagReply = 1;
inline constexpr std::uint16_t kFlagError = 2;
inline constexpr std::size_t kFrameBytesMax = 64u << 20;

// An authenticated, framed stream over a Unix or TCP socket: the control plane, and the channel over
// which the faster links exchange addresses and descriptors.
//
// Belongs to the thread of its loop.  Destroying it closes the socket; no callback runs after that.
// A frame that breaks the format closes the channel with kInvalid; nothing is allocated for a length
// beyond kFrameBytesMax, nor more than 512 bytes before the peer is authenticated.
class Channel {
 public:
  struct Callbacks {
    std::function<void()> ready;  // The handshake is done; peer() is proved.
    std::function<void(Frame&&)> frame;
    std::function<void(const base::Error& why)> closed;  // Once, last; may destroy the Channel.
  };

  virtual ~Channel() = default;

  // Queues a frame; sent before ready() it leaves after the handshake.  kExhausted when more than
  // queue_bytes_max are waiting, kUnavailable when closed.  The descriptors are duplicated.
  virtual Result<void> send(std::uint16_t type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
                            std::span<const int> fds = {}) = 0;
  virtual const PeerIdentity& peer() const = 0;
  virtual pid_t peer_pid() const = 0;  // Unix sockets: SO_PEERCRED; else 0.
  virtual bool is_ready() const = 0;
  virtual std::size_t queued_bytes() const = 0;
};

// "unix:PATH" or "tcp:HOST:PORT" (HOST numeric).  The handshake starts as soon as the connection is there;
// connecting and the handshake together have `handshake_timeout`.
struct ChannelOptions {
  Credentials credentials;
  std::size_t queue_bytes_max = 64u << 20;
  base::Duration handshake_timeout = std::chrono::seconds(2);
};
Result<std::unique_ptr<Channel>> connect_channel(os::EventLoop& loop, const std::string& address,
                                                 const ChannelOptions& options, Channel::Callbacks callbacks);

// Listens on a Unix path (0600, unlinked when destroyed) or on "HOST:0" over TCP, never on a wildcard.  At
// most 64 handshakes are open at a time; peers of another uid (Unix) are turned away before a byte is
// read; failed handshakes are counted, closed, and logged at most once a minute.  Out of descriptors,
// it drops one it keeps in reserve, accepts, closes, and takes it back.
class Listener {
 public:
  // Hands over each channel once its handshake is done; set its callbacks with `set`.
  using Accepted = std::function<void(std::unique_ptr<Channel> channel, std::function<void(Channel::Callbacks)> set)>;
  virtual ~Listener() = default;
  virtual const std::string& address() const = 0;  // As connect_channel takes it.
  virtual std::uint64_t refused() const = 0;       // Connections that did not prove themselves.
};
Result<std::unique_ptr<Listener>> listen_unix(os::EventLoop& loop, const std::string& path,
                                              const ChannelOptions& options, Listener::Accepted accepted);
Result<std::unique_ptr<Listener>> listen_tcp(os::EventLoop& loop, const std::string& host,
                                             const ChannelOptions& options, Listener::Accepted accepted);

}  // namespace mobula::transport
