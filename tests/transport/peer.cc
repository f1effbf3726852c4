#include "tests/transport/peer.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdio>

#include <gtest/gtest.h>

#include "core/os/memory_file.h"
#include "core/os/process.h"
#include "core/os/random.h"
#include "tests/transport/party.h"

namespace mobula::test {
namespace {

constexpr std::size_t kAddressHexMax = 2 * transport::kAddressBytesMax;

std::string to_hex(const std::string& bytes) {
  std::string out;
  for (const unsigned char c : bytes) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return out;
}

class Peer final : public transport::Inbox {
 public:
  bool start(const Backend& backend, const std::string& directory) {
    fabric_ = backend.make_fabric();
    transport::WorkerOptions options;
    options.credentials.key.fill(std::byte{0x5a});  // As World::options().
    options.credentials.self.id = os::random_id<base::WorkerId>();
    options.credentials.self.name = "peer";
    options.socket_directory = directory;
    auto worker = fabric_->make_worker(options, *this);
    if (!worker.ok()) {
      std::fprintf(stderr, "peer: %s\n", worker.error().what.c_str());
      return false;
    }
    worker_ = std::move(*worker);
    return true;
  }
  const std::string& address() const { return worker_->address(); }

  void serve() {
    for (;;) {
      std::size_t ran = worker_->progress();
      if (flood_to_ != nullptr && flood_to_->send(5, {}, view(flood_), nullptr).ok()) ++ran;
      if (ran != 0) continue;
      transport::Worker* const worker = worker_.get();
      fabric_->wait({&worker, 1}, std::chrono::seconds(1));
    }
  }

 private:
  void accepted(Endpoint&) override {}
  void writable(Endpoint& endpoint) override { send_waiting(endpoint); }
  void lost(Endpoint& endpoint, const base::Error&) override {
    if (flood_to_ == &endpoint) flood_to_ = nullptr;
    waiting_.clear();
  }
  void message(Endpoint& from, std::uint16_t type, ConstBytes header, ConstBytes payload) override {
    switch (static_cast<PeerCall>(type)) {
      case PeerCall::kEcho: return reply(from, type, header, payload);
      case PeerCall::kDigest: return reply(from, type, digest(payload), {});
      case PeerCall::kShare: return share(from, type, header);
      case PeerCall::kDigestShared: return reply(from, type, digest(region_->bytes()), {});
      case PeerCall::kFlood:
        flood_ = base::as_string_view(payload);
        flood_to_ = &from;
        return;
    }
  }

  ConstBytes digest(ConstBytes of) {
    digest_ = base::hash64(base::as_string_view(of));
    return base::object_bytes(digest_);
  }
  void share(Endpoint& from, std::uint16_t type, ConstBytes header) {
    ShareRequest request{};
    std::memcpy(&request, header.data(), sizeof request);
    region_.reset();
    const std::string content = pattern(request.size, request.size);
    if (request.in_file != 0) {
      file_ = std::move(*os::make_memory_file("peer", request.size));
      mapping_ = std::move(*os::map_file(file_, 0, request.size, os::Access::kReadWrite));
      std::memcpy(mapping_.data(), content.data(), content.size());
      region_ = std::move(*worker_->register_file(file_.get(), 0, {mapping_.data(), mapping_.size()}));
    } else {
      heap_ = content;
      region_ = std::move(*worker_->register_memory(bytes(heap_)));
    }
    reply(from, type, region_->remote_key(), {});
  }
  void reply(Endpoint& to, std::uint16_t type, ConstBytes header, ConstBytes payload) {
    waiting_.push_back(
        {&to, type, std::string(base::as_string_view(header)), std::string(base::as_string_view(payload))});
    send_waiting(to);
  }
  void send_waiting(Endpoint& to) {
    while (!waiting_.empty()) {
      const Party::Message& next = waiting_.front();
      if (!to.send(next.type, view(next.header), view(next.payload), nullptr).ok()) return;
      waiting_.pop_front();
    }
  }

  std::unique_ptr<Fabric> fabric_;
  os::Fd file_;
  os::Mapping mapping_;
  std::string heap_;
  std::unique_ptr<transport::Worker> worker_;
  std::unique_ptr<transport::Region> region_;
  std::deque<Party::Message> waiting_;
  std::uint64_t digest_ = 0;
  Endpoint* flood_to_ = nullptr;
  std::string flood_;
};

}  // namespace

int run_peer(const std::string& name, const std::string& directory) {
  for (const Backend& backend : backends().all) {
    if (backend.name != name) continue;
    Peer peer;
    if (!peer.start(backend, directory)) return 1;
    std::printf("%s\n", to_hex(peer.address()).c_str());
    std::fflush(stdout);
    peer.serve();
  }
  return 2;
}

PeerProcess::PeerProcess(const Backend& backend, const std::string& directory) {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  output_ = os::Fd(ends[0]);
  os::Fd theirs(ends[1]);
  os::SpawnOptions options;
  options.path = os::self_exe();
  options.argv = {options.path, "--peer", backend.name, directory};
  options.env = os::environment();
  options.fds = {{theirs.get(), 1}};
  const auto pid = os::spawn(options);
  EXPECT_TRUE(pid.ok()) << pid.error().what;
  if (!pid.ok()) return;
  pid_ = *pid;
  theirs.reset();
  std::string line;
  while (line.size() <= kAddressHexMax) {
    pollfd ready{output_.get(), POLLIN, 0};
    if (::poll(&ready, 1, 30'000) != 1) break;
    char c = 0;
    if (::read(output_.get(), &c, 1) != 1 || c == '\n') break;
    line += c;
  }
  address_ = from_hex(line);
  EXPECT_FALSE(address_.empty()) << "the peer did not start";
}

PeerProcess::~PeerProcess() {
  if (pid_ == 0) return;
  ::kill(pid_, SIGKILL);
  os::wait_for(pid_);
}

void PeerProcess::stop() { ::kill(pid_, SIGSTOP); }
void PeerProcess::kill() { ::kill(pid_, SIGKILL); }

}  // namespace mobula::test
