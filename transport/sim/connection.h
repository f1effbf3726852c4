#pragma once

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"
#include "transport/sim/network.h"

namespace mobula::transport::sim {

enum class PacketKind : std::uint8_t { kData = 1, kNews = 2, kReset = 3 };

// What each datagram begins with.  All but kReset carry the receiver's news: what it has and what it can take.
struct Packet {
  PacketKind kind = PacketKind::kNews;
  std::uint8_t from_client = 0;
  std::uint16_t reserved = 0;
  std::uint32_t size = 0;        // kData: of the bytes that follow.
  std::uint64_t connection = 0;  // Chosen by the client; unique together with its node.
  std::uint64_t offset = 0;      // kData: of its first byte in the stream.
  std::uint64_t have = 0;        // Everything before this has come.
  std::uint64_t room = 0;        // The sender of this packet can take bytes up to here.
  std::uint64_t got = ~0ull;     // The kData at this offset has come, perhaps out of order.
};
static_assert(sizeof(Packet) == 48);

// Of virtual time.
struct ConnectionTimes {
  Duration resend_after = std::chrono::milliseconds(20);  // Doubles up to eight times that.
  Duration news_every = std::chrono::milliseconds(50);
  Duration silence_max = std::chrono::seconds(1);  // A peer that is silent for longer is gone.
};

// One end of a reliable, ordered stream of bytes over datagrams that get lost, doubled and reordered:
// numbered bytes, a window, selective acknowledgement, resending by timer.
class Connection {
 public:
  struct Id {
    NodeIndex peer;
    std::uint64_t number;
    bool client;  // This end is the one that connected.
    auto operator<=>(const Id&) const = default;
  };
  struct Hooks {
    std::function<void(const Packet&, ConstBytes)> send;
    std::function<void()> changed;  // There is something to read, room to write, or an end.
  };

  Connection(SimNetwork& network, NodeIndex self, Id id, Hooks hooks, const ConnectionTimes& times);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const Id& id() const { return id_; }
  void on_packet(const Packet& packet, ConstBytes bytes);

  std::size_t read(base::Bytes into);
  std::size_t write(ConstBytes from);
  bool ended() const { return ended_; }
  bool all_received() const { return unreceived_.empty(); }  // By the peer.
  const base::Error& why() const { return why_; }
  void reset();  // Tells the peer that this end is gone.

 private:
  struct Sent {
    std::vector<std::byte> bytes;
    Time at{};
    int times = 0;
  };

  void tick();
  void transmit(std::uint64_t offset, Sent& sent);
  void tell_news(std::uint64_t got);
  Packet news() const;
  void take_data(const Packet& packet, ConstBytes bytes);
  void end(base::Error why);

  SimNetwork& network_;
  const NodeIndex self_;
  const Id id_;
  const Hooks hooks_;
  const ConnectionTimes times_;
  SimNetwork::Timer timer_ = 0;
  Time heard_;
  Time told_{};

  std::uint64_t next_offset_ = 0;  // Of the next byte written here.
  std::uint64_t peer_room_;
  std::map<std::uint64_t, Sent> unreceived_;

  std::uint64_t have_ = 0;  // All before it has come.
  std::uint64_t read_ = 0;  // All before it was read.
  std::uint64_t told_room_;
  std::map<std::uint64_t, std::vector<std::byte>> early_;  // After a gap.
  std::deque<std::vector<std::byte>> ready_;
  std::size_t ready_at_ = 0;  // In the first of them.

  bool ended_ = false;
  base::Error why_;
};

}  // namespace mobula::transport::sim
