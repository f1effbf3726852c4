#include "core/os/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "core/os/error.h"

namespace mobula::os {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr int kBacklog = 1024;
constexpr int kFlags = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

Error would_block() { return {Code::kUnavailable, "would block"}; }

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  Fd directory;  // Keeps a path by way of /proc alive.

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// A path that does not fit is reached through a descriptor of its directory.
Result<Address> unix_address(const std::string& path) {
  Address out;
  auto& address = reinterpret_cast<sockaddr_un&>(out.storage);
  address.sun_family = AF_UNIX;
  std::string name = path;
  if (name.size() >= sizeof address.sun_path) {
    const auto slash = path.rfind('/');
    if (slash == std::string::npos) return Error{Code::kInvalid, "too long for a socket: " + path};
    out.directory = Fd(::open(path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!out.directory.valid()) return error_from_errno(errno, path);
    name = "/proc/self/fd/" + std::to_string(out.directory.get()) + path.substr(slash);
  }
  if (name.empty() || name.size() >= sizeof address.sun_path) {
    return Error{Code::kInvalid, "not a socket's path: '" + path + "'"};
  }
  std::memcpy(address.sun_path, name.c_str(), name.size() + 1);
  out.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + 1);
  return out;
}

Result<Address> ip_address(const std::string& text, std::uint16_t port) {
  Address out;
  auto& v4 = reinterpret_cast<sockaddr_in&>(out.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(out.storage);
  if (::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    out.size = sizeof v4;
    return out;
  }
  out.storage = {};
  if (::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    out.size = sizeof v6;
    return out;
  }
  return Error{Code::kInvalid, "not a numeric address: '" + text + "'"};
}

bool is_wildcard(const Address& address) {
  if (address.storage.ss_family == AF_INET) {
    return reinterpret_cast<const sockaddr_in&>(address.storage).sin_addr.s_addr == INADDR_ANY;
  }
  return IN6_IS_ADDR_UNSPECIFIED(&reinterpret_cast<const sockaddr_in6&>(address.storage).sin6_addr);
}

void set_option(const Fd& socket, int level, int name) {
  const int on = 1;
  ::setsockopt(socket.get(), level, name, &on, sizeof on);
}

std::string at(const std::string& address, std::uint16_t port) { return address + " port " + std::to_string(port); }

// Appends the descriptors of a received message; closes those beyond the limit.
void take_fds(msghdr& message, std::vector<Fd>* out) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof fd, sizeof fd);
      Fd owned(fd);
      if (out != nullptr) out->push_back(std::move(owned));
    }
  }
}

}  // namespace

Result<Fd> listen_unix(const std::string& path) {
  auto address = unix_address(path);
  if (!address) return address.error();
  Fd socket(::socket(AF_UNIX, kFlags, 0));
  if (!socket.valid()) return error_from_errno(errno, "socket");
  ::fchmod(socket.get(), 0600);  // Before bind: the file is made with these bits, less the umask.
  if (::bind(socket.get(), address->get(), address->size) != 0) return error_from_errno(errno, "bind " + path);
  if (::listen(socket.get(), kBacklog) != 0) return error_from_errno(errno, "listen " + path);
  return socket;
}

Result<Fd> connect_unix(const std::string& path) {
  auto address = unix_address(path);
  if (!address) return address.error();
  Fd socket(::socket(AF_UNIX, kFlags, 0));
  if (!socket.valid()) return error_from_errno(errno, "socket");
  if (::connect(socket.get(), address->get(), address->size) != 0) return error_from_errno(errno, "connect " + path);
  return socket;
}

Result<Fd> listen_tcp(const std::string& text, std::uint16_t port) {
  auto address = ip_address(text, port);
  if (!address) return address.error();
  if (is_wildcard(*address)) return Error{Code::kInvalid, "will not listen on every interface (" + text + ")"};
  Fd socket(::socket(address->storage.ss_family, kFlags, 0));
  if (!socket.valid()) return error_from_errno(errno, "socket");
  set_option(socket, SOL_SOCKET, SO_REUSEADDR);
  if (::bind(socket.get(), address->get(), address->size) != 0)
    return error_from_errno(errno, "bind " + at(text, port));
  if (::listen(socket.get(), kBacklog) != 0) return error_from_errno(errno, "listen " + at(text, port));
  return socket;
}

Result<Fd> connect_tcp(const std::string& text, std::uint16_t port) {
  auto address = ip_address(text, port);
  if (!address) return address.error();
  Fd socket(::socket(address->storage.ss_family, kFlags, 0));
  if (!socket.valid()) return error_from_errno(errno, "socket");
  set_option(socket, IPPROTO_TCP, TCP_NODELAY);
  if (::connect(socket.get(), address->get(), address->size) != 0 && errno != EINPROGRESS) {
    return error_from_errno(errno, "connect " + at(text, port));
  }
  return socket;
}

Result<void> connect_result(const Fd& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size) != 0)
    return error_from_errno(errno, "getsockopt");
  if (error != 0) return error_from_errno(error, "connect");
  sockaddr_storage peer{};
  socklen_t peer_size = sizeof peer;
  if (::getpeername(socket.get(), reinterpret_cast<sockaddr*>(&peer), &peer_size) == 0) return {};
  return errno == ENOTCONN ? would_block() : error_from_errno(errno, "getpeername");
}

std::uint16_t local_port(const Fd& socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  if (storage.ss_family == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
  return 0;
}

Result<Fd> accept(const Fd& listener) {
  for (;;) {
    Fd socket(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket.valid()) {
      set_option(socket, IPPROTO_TCP, TCP_NODELAY);  // A Unix socket refuses it, harmlessly.
      return socket;
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;  // One that gave up in the queue is nobody.
    if (errno == EAGAIN) return would_block();
    return error_from_errno(errno, "accept");
  }
}

Result<std::pair<Fd, Fd>> socket_pair() {
  std::array<int, 2> fds{};
  if (::socketpair(AF_UNIX, kFlags, 0, fds.data()) != 0) return error_from_errno(errno, "socketpair");
  return std::pair(Fd(fds[0]), Fd(fds[1]));
}

Result<PeerCredentials> peer_credentials(const Fd& socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return error_from_errno(errno, "SO_PEERCRED");
  }
  return PeerCredentials{credentials.uid, credentials.pid};
}

Result<std::size_t> send_some(const Fd& socket, base::ConstBytes bytes, std::span<const int> fds) {
  if (bytes.empty() || fds.size() > kFdsPerMessageMax) {
    return Error{Code::kInvalid, "sending " + std::to_string(bytes.size()) + " bytes with " +
                                     std::to_string(fds.size()) + " descriptors"};
  }
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsPerMessageMax * sizeof(int))> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    const ssize_t n = ::sendmsg(socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return would_block();
    return error_from_errno(errno, "send");
  }
}

Result<std::size_t> receive_some(const Fd& socket, base::Bytes into, std::vector<Fd>* fds) {
  iovec part{into.data(), into.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kFdsPerMessageMax * sizeof(int))> control;
  for (;;) {
    // Without a place for them the kernel does not install descriptors that a peer may send.
    message.msg_control = fds == nullptr ? nullptr : control.data();
    message.msg_controllen = fds == nullptr ? 0 : control.size();
    const ssize_t n = ::recvmsg(socket.get(), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n >= 0) {
      take_fds(message, fds);
      return static_cast<std::size_t>(n);
    }
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return would_block();
    return error_from_errno(errno, "receive");
  }
}

}  // namespace mobula::os
