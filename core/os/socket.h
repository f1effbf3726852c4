#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::os {

// Stream sockets.  All are non-blocking and close-on-exec, and send no SIGPIPE.

// A path may be longer than the 107 bytes of a Unix socket's address.  The socket has mode 0600.
base::Result<Fd> listen_unix(const std::string& path);
base::Result<Fd> connect_unix(const std::string& path);  // kUnavailable: nobody listens, or the queue is full.

// `address` is a numeric IPv4 or IPv6 address and never a wildcard (kInvalid); port 0 takes a free one.
base::Result<Fd> listen_tcp(const std::string& address, std::uint16_t port);
// May still be connecting: writable when it is done, then connect_result().
base::Result<Fd> connect_tcp(const std::string& address, std::uint16_t port);
base::Result<void> connect_result(const Fd& socket);  // What became of a connect; kUnavailable while it goes on.
std::uint16_t local_port(const Fd& socket);           // 0 when it has none.

base::Result<Fd> accept(const Fd& listener);  // kUnavailable when nobody waits, kExhausted without descriptors.
base::Result<std::pair<Fd, Fd>> socket_pair();

// Who made the connection; true at the time of connect().  Unix sockets only.
struct PeerCredentials {
  uid_t uid = static_cast<uid_t>(-1);
  pid_t pid = 0;
};
base::Result<PeerCredentials> peer_credentials(const Fd& socket);

// At most this many descriptors go with one send.
inline constexpr std::size_t kFdsPerMessageMax = 16;

// Sends what fits and returns how much; the descriptors go with the first byte, so `bytes` is not empty.
// kUnavailable when nothing fits now, kLost when the peer is gone.
base::Result<std::size_t> send_some(const Fd& socket, base::ConstBytes bytes, std::span<const int> fds = {});

// Receives into `into`, and appends descriptors that came (close-on-exec) to `fds`; whatever exceeds
// kFdsPerMessageMax is closed.  0: the peer has closed.  kUnavailable when nothing is there.
base::Result<std::size_t> receive_some(const Fd& socket, base::Bytes into, std::vector<Fd>* fds = nullptr);

}  // namespace mobula::os
