#pragma once

#include <cstdint>
#include <string>

#include "core/base/result.h"
#include "core/os/fd.h"

namespace mobula::transport::sock {

// Where a socket listens: "unix:PATH" or "tcp:HOST:PORT", HOST numeric.
struct SocketAddress {
  enum class Family { kUnix, kTcp };
  Family family = Family::kUnix;
  std::string where;       // The path, or the host.
  std::uint16_t port = 0;  // TCP.

  static base::Result<SocketAddress> parse(const std::string& text);
  std::string to_string() const;
};

base::Result<os::Fd> connect_to(const SocketAddress& address);  // May still be connecting.

}  // namespace mobula::transport::sock
