#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/sides/collective_metrics.h"
#include "bench/sides/floor.h"
#include "bench/sides/timing.h"

namespace mobula::bench {
namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

bool send_all(int fd, const std::byte* at, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::send(fd, at, size, MSG_NOSIGNAL);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

bool receive_all(int fd, std::byte* at, std::size_t size) {
  while (size > 0) {
    const ssize_t n = ::recv(fd, at, size, 0);
    if (n <= 0) return false;
    at += n;
    size -= static_cast<std::size_t>(n);
  }
  return true;
}

// Two connected loopback sockets.
struct TcpPair {
  TcpPair() {
    const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    client = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool connected = ::bind(listener, address, sizeof at) == 0 && ::listen(listener, 1) == 0 &&
                           ::getsockname(listener, address, &length) == 0 && ::connect(client, address, length) == 0;
    server = connected ? ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC) : -1;
    ::close(listener);
    if (server < 0) throw CannotMeasure("no loopback connection");
    const int on = 1;
    for (const int fd : {client, server}) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  int client = -1;
  int server = -1;
};

// A child that answers "size" with that many bytes out of warm memory.
class Streamer {
 public:
  Streamer() : to_(256 * kMiB) {
    const TcpPair pair;
    child_ = ::fork();
    if (child_ < 0) throw CannotMeasure("fork failed");
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::close(pair.client);
      answer(pair.server);
    }
    ::close(pair.server);
    fd_ = pair.client;
  }
  ~Streamer() {
    ::close(fd_);
    ::waitpid(child_, nullptr, 0);
  }
  Streamer(const Streamer&) = delete;
  Streamer& operator=(const Streamer&) = delete;

  double read_us(std::size_t size, int count) {
    const auto read = [&] {
      const std::uint64_t wanted = size;
      if (!send_all(fd_, reinterpret_cast<const std::byte*>(&wanted), sizeof wanted) ||
          !receive_all(fd_, to_.data(), size))
        throw CannotMeasure("the stream has ended");
    };
    read();
    return median_us(count, read);
  }

 private:
  [[noreturn]] static void answer(int fd) {
    const std::vector<std::byte> from(256 * kMiB, std::byte{3});
    std::uint64_t wanted = 0;
    while (receive_all(fd, reinterpret_cast<std::byte*>(&wanted), sizeof wanted) && send_all(fd, from.data(), wanted)) {
    }
    ::_exit(0);
  }

  std::vector<std::byte> to_;
  pid_t child_ = 0;
  int fd_ = -1;
};

}  // namespace

void add_tcp_floors(Side& side) {
  const auto streamer = std::make_shared<Streamer>();
  side.add("pull_256m_sock_gbps", [=](Effort e) {
    return static_cast<double>(256 * kMiB) / streamer->read_us(256 * kMiB, e.quick ? 1 : 2) / 1e3;
  });
  side.add("pull_1m_sock_us", [=](Effort e) { return streamer->read_us(kMiB, e.of(40)); });
  for (const CollectiveMetric& m : collective_metrics()) {
    if (m.link != CollectiveMetric::Link::kSock || m.ranks != 2) continue;
    side.add(m.name(), [=](Effort e) {
      const auto bytes = std::max<std::size_t>(1, static_cast<std::size_t>(m.moved_bytes()));
      return streamer->read_us(bytes, bytes > kMiB ? e.of(20) : e.of(400));
    });
  }
}

}  // namespace mobula::bench
