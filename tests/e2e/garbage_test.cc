// Strangers on every socket that a cluster's processes listen on, its drivers and workers among them.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <mobula/mobula.h>

#include "tests/e2e/gate.h"

namespace mobula::testing {
namespace {

namespace fs = std::filesystem;

struct Counter {
  int add(int k) { return n += k; }
  int n = 0;
};
int hold(const std::string& gate) { return enter(gate) ? 1 : 0; }
int one() { return 1; }

// This process and all that descend from it.
std::set<int> family() {
  std::multimap<int, int> children;
  std::error_code gone;
  for (const auto& entry : fs::directory_iterator("/proc", gone)) {
    std::ifstream file(entry.path() / "stat");
    std::string line;
    if (!std::getline(file, line) || line.rfind(')') == std::string::npos) continue;
    char state = 0;
    int parent = 0;
    std::istringstream(line.substr(line.rfind(')') + 1)) >> state >> parent;
    children.emplace(parent, std::atoi(line.c_str()));
  }
  std::set<int> out{::getpid()};
  std::vector<int> next{::getpid()};
  while (!next.empty()) {
    const auto [begin, end] = children.equal_range(next.back());
    next.pop_back();
    for (auto it = begin; it != end; ++it)
      if (out.insert(it->second).second) next.push_back(it->second);
  }
  return out;
}

std::set<std::string> socket_inodes(const std::set<int>& pids) {
  std::set<std::string> out;
  for (const int pid : pids) {
    std::error_code gone;
    for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
      const std::string to = fs::read_symlink(entry.path(), gone).string();
      if (to.starts_with("socket:[")) out.insert(to.substr(8, to.size() - 9));
    }
  }
  return out;
}

struct Listener {
  std::string path;  // Of a Unix socket, or empty:
  std::uint32_t address = 0;
  std::uint16_t port = 0;
};

std::vector<Listener> listeners() {
  const auto ours = socket_inodes(family());
  std::vector<Listener> out;
  std::string line;
  for (std::ifstream file("/proc/net/unix"); std::getline(file, line);) {
    std::string number, references, protocol, flags, type, state, inode, path;
    std::istringstream(line) >> number >> references >> protocol >> flags >> type >> state >> inode >> path;
    if (flags == "00010000" && ours.contains(inode)) out.push_back({path});
  }
  for (std::ifstream file("/proc/net/tcp"); std::getline(file, line);) {
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    std::istringstream(line) >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >>
        inode;
    if (state != "0A" || !ours.contains(inode)) continue;
    out.push_back({{},
                   static_cast<std::uint32_t>(std::stoul(local.substr(0, 8), nullptr, 16)),
                   static_cast<std::uint16_t>(std::stoul(local.substr(9), nullptr, 16))});
  }
  return out;
}

// False when nobody is there to be talked to.
bool talk(const Listener& listener, const std::string& bytes) {
  const int family = listener.path.empty() ? AF_INET : AF_UNIX;
  const int fd = ::socket(family, SOCK_STREAM, 0);
  sockaddr_storage to{};
  socklen_t size = 0;
  if (family == AF_INET) {
    auto& in = reinterpret_cast<sockaddr_in&>(to);
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = listener.address;
    in.sin_port = htons(listener.port);
    size = sizeof in;
  } else {
    auto& un = reinterpret_cast<sockaddr_un&>(to);
    un.sun_family = AF_UNIX;
    listener.path.copy(un.sun_path, sizeof un.sun_path - 1);
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + listener.path.size());
    if (listener.path[0] == '@')
      un.sun_path[0] = '\0';
    else
      ++size;
  }
  const bool there = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), size) == 0;
  if (there) (void)!::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::close(fd);
  return there;
}

TEST(Garbage, on_every_listener_stops_nothing) {
  const Gate gate;
  std::vector<Ref<int>> held;
  for (int i = 0; i < 4; ++i) held.push_back(remote<&hold>.with({.cpus = 0.1, .scheduling = Spread{}})(gate.path()));
  const auto counter = actor<Counter>.with({.cpus = 0.1})();
  EXPECT_EQ(method<&Counter::add>(counter, 1).get(kSoon), 1);
  ASSERT_TRUE(gate.wait_entered(4));

  const auto found = listeners();
  // The GCS, two raylets, the driver, four tasks' workers and the actor's, each at least once.
  ASSERT_GE(found.size(), 9u);
  std::mt19937 random(7);
  std::vector<std::string> noises{"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", std::string(4096, '\0'),
                                  std::string(70'000, '\xff'), ""};
  for (int i = 0; i < 12; ++i) {
    std::string noise(1 + random() % 3000, ' ');
    for (char& c : noise) c = static_cast<char>(random());
    noises.push_back(std::move(noise));
  }
  std::size_t heard = 0;
  for (const Listener& listener : found)
    for (const std::string& noise : noises) heard += talk(listener, noise);
  EXPECT_GE(heard, found.size() * noises.size() / 2) << "most listeners took no connection";
  std::printf("%zu listeners, %zu connections\n", found.size(), heard);

  EXPECT_EQ(method<&Counter::add>(counter, 1).get(kSoon), 2);
  gate.open();
  for (auto& ref : held) EXPECT_EQ(ref.get(kSoon), 1);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(remote<&one>().get(kSoon), 1);
}

}  // namespace
}  // namespace mobula::testing
