#include <charconv>
#include <utility>

#include "core/os/event_loop.h"
#include "transport/sim/port.h"
#include "transport/sim/sim.h"
#include "transport/stream/session_set.h"

namespace mobula::transport::sim {
namespace {

using stream::Session;

constexpr char kPrefix[] = "sim:";
constexpr Duration kHandshakeTimeout = std::chrono::seconds(2);

class Simulated final : public SimWorker {
 public:
  Simulated(SimNetwork& network, const WorkerOptions& options, Inbox& inbox, const ConnectionTimes& times)
      : network_(network),
        port_(network,
              {[this](std::unique_ptr<Port::Stream> stream) {
                 add(std::move(stream), Handshake::Role::kServer);
                 loop_.wake();
               },
               [this] { loop_.wake(); }},
              times),
        sessions_(options, inbox),
        address_(kPrefix + std::to_string(static_cast<std::uint32_t>(port_.node()))) {}

  const Address& address() const override { return address_; }
  NodeIndex node() const override { return port_.node(); }
  void crash() override { port_.crash(); }

  Result<Endpoint*> connect(const Address& peer) override {
    std::uint32_t index = 0;
    const char* const end = peer.data() + peer.size();
    const std::size_t skip = sizeof kPrefix - 1;
    const bool prefixed = peer.starts_with(kPrefix);
    if (!prefixed || std::from_chars(peer.data() + skip, end, index).ptr != end || peer.size() == skip) {
      return base::Error{base::Code::kInvalid, "'" + peer + "' is not sim:INDEX"};
    }
    return static_cast<Endpoint*>(&add(port_.connect(static_cast<NodeIndex>(index)), Handshake::Role::kClient));
  }

  Result<std::unique_ptr<Region>> register_memory(Bytes memory) override { return sessions_.register_memory(memory); }
  Result<std::unique_ptr<Region>> register_file(int, std::size_t, Bytes mapped) override {
    return sessions_.register_memory(mapped);
  }

  std::size_t progress() override {
    loop_.run_once(Duration::zero());
    std::size_t ran = 0;
    // One round: what a stream still has after its share comes in the next.
    for (std::size_t n = port_.changes(); n != 0; --n) {
      Port::Stream* const stream = port_.next_changed();
      if (stream == nullptr) break;
      Session& session = *static_cast<Session*>(stream->user);
      if (stream->writable_wanted()) session.on_writable();
      session.on_readable();
      ++ran;
    }
    ran += sessions_.finish_round();
    if (port_.changes() != 0) loop_.wake();
    return ran;
  }
  int event_fd() const override { return loop_.fd(); }
  bool arm() override { return !sessions_.flush() && port_.changes() == 0; }

 private:
  Session& add(std::unique_ptr<Port::Stream> stream, Handshake::Role role) {
    Port::Stream& kept = *stream;
    Session& session = sessions_.add(std::make_unique<Session>(sessions_.shared(), std::move(stream), role));
    kept.user = &session;
    kept.set_deadline(network_.now() + kHandshakeTimeout, [&session] {
      if (!session.connected()) {
        session.fail({base::Code::kDeadline, "the peer did not answer the handshake in time"});
      }
    });
    return session;
  }

  SimNetwork& network_;
  os::EventLoop loop_;  // For its descriptor only.
  Port port_;
  stream::SessionSet sessions_;
  const Address address_;
};

}  // namespace

Result<std::unique_ptr<SimWorker>> make_sim_worker(SimNetwork& network, const WorkerOptions& options, Inbox& inbox,
                                                   const ConnectionTimes& times) {
  return std::unique_ptr<SimWorker>(std::make_unique<Simulated>(network, options, inbox, times));
}

}  // namespace mobula::transport::sim
