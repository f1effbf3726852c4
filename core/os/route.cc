#include "core/os/route.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <memory>
#include <utility>

#include "core/os/fd.h"

namespace mobula::os {
namespace {

constexpr in_port_t kAnyPort = 9;  // Discard: a route needs a port, and no byte is sent to it.

struct Ip {
  int family = AF_UNSPEC;
  std::array<unsigned char, 16> bytes{};
  std::size_t size = 0;
};

Ip parse_ip(const std::string& text) {
  Ip out;
  if (::inet_pton(AF_INET, text.c_str(), out.bytes.data()) == 1) {
    out.family = AF_INET;
    out.size = 4;
  } else if (::inet_pton(AF_INET6, text.c_str(), out.bytes.data()) == 1) {
    out.family = AF_INET6;
    out.size = 16;
  }
  return out;
}

std::string print(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address->sa_family == AF_INET) {
    bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  } else if (address->sa_family == AF_INET6) {
    bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  }
  if (bytes == nullptr || ::inet_ntop(address->sa_family, bytes, text.data(), text.size()) == nullptr) return {};
  return text.data();
}

bool is_link_local(const sockaddr* address) {
  return address->sa_family == AF_INET6 &&
         IN6_IS_ADDR_LINKLOCAL(&reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr);
}

}  // namespace

std::vector<std::string> resolve_host(const std::string& name) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (::getaddrinfo(name.c_str(), nullptr, &hints, &list) != 0) return {};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(list, ::freeaddrinfo);
  std::vector<std::string> out;
  for (const int family : {AF_INET, AF_INET6}) {
    for (const addrinfo* at = list; at != nullptr; at = at->ai_next) {
      if (at->ai_family != family || is_link_local(at->ai_addr)) continue;
      std::string text = print(at->ai_addr);
      if (!text.empty() && std::find(out.begin(), out.end(), text) == out.end()) out.push_back(std::move(text));
    }
  }
  return out;
}

std::string address_towards(const std::string& address) {
  const Ip ip = parse_ip(address);
  sockaddr_storage storage{};
  socklen_t size = 0;
  if (ip.family == AF_INET) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(kAnyPort);
    std::memcpy(&v4.sin_addr, ip.bytes.data(), ip.size);
    size = sizeof v4;
  } else if (ip.family == AF_INET6) {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(kAnyPort);
    std::memcpy(&v6.sin6_addr, ip.bytes.data(), ip.size);
    size = sizeof v6;
  } else {
    return {};
  }
  const Fd socket(::socket(ip.family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  auto* const at = reinterpret_cast<sockaddr*>(&storage);
  if (!socket.valid() || ::connect(socket.get(), at, size) != 0) return {};
  size = sizeof storage;
  return ::getsockname(socket.get(), at, &size) == 0 ? print(at) : std::string();
}

bool is_loopback(const std::string& address) {
  return is_in_subnet(address, "127.0.0.0/8") || is_in_subnet(address, "::1/128");
}

std::vector<InterfaceAddress> interface_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, ::freeifaddrs);
  std::vector<InterfaceAddress> out;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr || (at->ifa_flags & IFF_UP) == 0 || is_link_local(at->ifa_addr)) continue;
    if (std::string text = print(at->ifa_addr); !text.empty()) out.push_back({at->ifa_name, std::move(text)});
  }
  return out;
}

bool is_in_subnet(const std::string& address, const std::string& subnet) {
  const std::size_t slash = subnet.find('/');
  if (slash == std::string::npos) return false;
  const Ip ip = parse_ip(address);
  const Ip net = parse_ip(subnet.substr(0, slash));
  unsigned bits = 0;
  const char* const end = subnet.data() + subnet.size();
  const auto parsed = std::from_chars(subnet.data() + slash + 1, end, bits);
  if (parsed.ec != std::errc() || parsed.ptr != end || ip.family != net.family || ip.size == 0 || bits > 8 * ip.size) {
    return false;
  }
  for (unsigned bit = 0; bit < bits; ++bit) {
    const unsigned mask = 0x80u >> (bit % 8);
    if (((ip.bytes[bit / 8] ^ net.bytes[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

}  // namespace mobula::os
