#pragma once

#include <poll.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/os/session.h"
#include "transport/shm/shm.h"

namespace mobula::transport::shm::test {

inline std::string directory() {
  static const auto session = os::SessionDirectory::create(os::SessionDirectory::Lifetime::kRemove);
  static const std::string sockets = [] {
    const std::string path = session->path() + "/s";  // Of its own: nothing else lies in it.
    std::filesystem::create_directory(path);
    return path;
  }();
  return sockets;
}

inline WorkerOptions options_named(const std::string& name) {
  WorkerOptions options;
  options.credentials.key.fill(std::byte{5});
  options.credentials.self.name = name;
  options.socket_directory = directory();
  return options;
}

// A worker and what it was told.
class Node final : public Inbox {
 public:
  explicit Node(const WorkerOptions& options, const ShmTuning& tuning = {}) {
    auto made = make_shm_worker(options, *this, tuning);
    EXPECT_TRUE(made.ok()) << (made ? "" : made.error().what);
    if (made) worker = *std::move(made);
  }
  explicit Node(const std::string& name) : Node(options_named(name)) {}

  void accepted(Endpoint& endpoint) override { peers.push_back(&endpoint); }
  void message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) override {
    ++received;
    received_bytes += payload.size();
    if (on_message) on_message(from, type, header, payload);
  }
  void writable(Endpoint&) override { ++writable_calls; }
  void lost(Endpoint& endpoint, const base::Error& why) override {
    ++losses;
    lost_peers.insert_or_assign(&endpoint, why);  // An address may come back.
    if (on_lost) on_lost();
  }

  Endpoint* connect(const Node& other) {
    auto endpoint = worker->connect(other.worker->address());
    EXPECT_TRUE(endpoint.ok());
    return *endpoint;
  }
  // One turn of a caller that sleeps when there is nothing.
  void turn(int at_most_ms) {
    if (worker->progress() != 0 || !worker->arm()) return;
    pollfd p{worker->event_fd(), POLLIN, 0};
    ::poll(&p, 1, at_most_ms);
  }

  std::unique_ptr<Worker> worker;
  std::vector<Endpoint*> peers;
  std::map<Endpoint*, base::Error> lost_peers;
  std::size_t losses = 0;
  std::uint64_t received = 0;
  std::uint64_t received_bytes = 0;
  int writable_calls = 0;
  std::function<void(Endpoint&, std::uint16_t, ConstBytes, ConstBytes)> on_message;
  std::function<void()> on_lost;
};

class Waiter final : public Completion {
 public:
  void done(Result<std::size_t> bytes) override { result = std::move(bytes); }
  bool ended() const { return result.has_value(); }
  std::optional<Result<std::size_t>> result;
};

// Runs the nodes until `condition`, at most 10 s.
inline bool run_until(std::initializer_list<Node*> nodes, const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    for (Node* node : nodes) node->worker->progress();
  }
  return true;
}

inline bool open_up(Node& a, Node& b, Endpoint* endpoint) {
  const std::size_t before = b.peers.size();
  return run_until({&a, &b}, [&] { return endpoint->connected() && (before != 0 || !b.peers.empty()); });
}

}  // namespace mobula::transport::shm::test
