#pragma once

#include <cstdint>
#include <list>
#include <optional>

#include "transport/ofi/core.h"
#include "transport/ofi/pairing.h"
#include "transport/ofi/sender.h"
#include "transport/ofi/window.h"
#include "transport/transport.h"

namespace mobula::transport::ofi {

// One connection of an OfiWorker.
//
// What happens to it from outside (frames, packets, failures, close()) is noted and acted on in dispatch(), from
// progress().  It ends in two steps: it winds down (everything pending ended, or abandoned), and once the provider has
// let go of all memory, it is over() and may be destroyed.
class OfiEndpoint final : public Endpoint, private Pairing::Owner {
 public:
  enum class Role { kConnector, kAcceptor };
  OfiEndpoint(Core& core, Role role, const Hello& ours);
  ~OfiEndpoint();  // REQUIRES: over(), or the worker's ports are closed.

  Pairing& pairing() { return pairing_; }
  std::uint64_t cookie() const { return pairing_.ours().cookie; }
  std::uint32_t slot() const { return pairing_.ours().slot; }

  Result<void> send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) override;
  void read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) override;
  void write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) override;
  void close() override;
  const PeerIdentity& peer() const override { return pairing_.peer(); }
  bool connected() const override { return state_ == State::kOpen; }

  // A packet with our cookie, from inside the port.
  struct Arrival {
    Packet* packet = nullptr;
    PacketHeader head;
    ConstBytes header;
    ConstBytes body;
  };
  // True: it is kept, and goes back to the pool later.
  bool arrived(const Arrival& arrival);

  // The connection is lost.  The first reason stays.
  void end(const base::Error& why);
  // The peer is gone, but what it has sent may be on its way: lost in the next dispatch().
  void hang_up(const base::Error& why);

  // Acts on what has been noted.  From progress(), outside the port.
  void dispatch();
  void mark_busy();

  bool ending() const { return state_ >= State::kEnding; }
  bool closed_by_owner() const { return state_ == State::kClosed; }
  bool known_to_owner() const { return known_; }
  bool over() const { return wound_down_ && !core_.accesses.has_any(this) && reads_.empty(); }
  const base::Error& why() const { return why_; }

 private:
  // Wiring: the peer's address is known, but not whether a packet finds the way; so nothing is said to be connected
  // before the first has come.  The connector sends first.
  enum class State { kConnecting, kWiring, kOpen, kEnding, kClosed };
  // A payload that is read from the memory of its sender.
  struct PayloadRead final : Completion {
    void done(Result<std::size_t> bytes) override { endpoint->payload_read(*this, bytes); }
    OfiEndpoint* endpoint = nullptr;
    std::uint32_t sequence = 0;
    std::size_t size = 0;
    BufferCache::Piece piece;
    std::list<PayloadRead>::iterator self;
  };

  void paired() override;
  void unpaired(const base::Error& why) override;

  void one_sided(Accesses::Start::What what, const RemoteSpan& remote, const LocalSpan& local, Completion& completion);
  void wire();
  void push_out();
  void heed(const Result<void>& sent);
  void deliver_waiting();
  void deliver(const PacketHeader& head, ConstBytes header, ConstBytes payload);
  void read_payloads();
  void read_payload(Held& held);
  void payload_read(PayloadRead& read, const Result<std::size_t>& bytes);
  void wind_down();
  base::Error reason() const;

  Core& core_;
  const Role role_;
  Pairing pairing_;
  State state_ = State::kConnecting;
  bool known_;            // Our owner has the pointer.
  bool busy_ = false;     // In core_.busy.
  bool heard_ = false;    // A packet of the peer has come.
  bool greeted_ = false;  // Ours has been sent.
  bool news_due_ = false;
  bool wound_down_ = false;
  base::Error why_;
  std::optional<base::Error> hung_up_;  // Ends the connection once what had arrived is delivered.

  Sender sender_;
  Window window_;
  std::list<PayloadRead> reads_;
  std::size_t reading_bytes_ = 0;
  // The early ones among the operations asked for, until the peer's address is known.
  std::vector<Accesses::Start> early_;
};

}  // namespace mobula::transport::ofi
