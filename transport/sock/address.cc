#include "transport/sock/address.h"

#include <charconv>

#include "core/os/socket.h"

namespace mobula::transport::sock {

base::Result<SocketAddress> SocketAddress::parse(const std::string& text) {
  const base::Error invalid{base::Code::kInvalid, "'" + text + "' is neither unix:PATH nor tcp:HOST:PORT"};
  if (text.starts_with("unix:") && text.size() > 5) return SocketAddress{Family::kUnix, text.substr(5), 0};
  const std::size_t colon = text.rfind(':');
  if (!text.starts_with("tcp:") || colon <= 4) return invalid;
  SocketAddress out{Family::kTcp, text.substr(4, colon - 4), 0};
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + colon + 1, end, out.port);
  if (error != std::errc{} || stop != end || out.port == 0) return invalid;
  return out;
}

std::string SocketAddress::to_string() const {
  if (family == Family::kUnix) return "unix:" + where;
  return "tcp:" + where + ":" + std::to_string(port);
}

base::Result<os::Fd> connect_to(const SocketAddress& address) {
  if (address.family == SocketAddress::Family::kUnix) return os::connect_unix(address.where);
  return os::connect_tcp(address.where, address.port);
}

}  // namespace mobula::transport::sock
