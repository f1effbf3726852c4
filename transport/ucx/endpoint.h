#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "transport/transport.h"
#include "transport/ucx/core.h"
#include "transport/ucx/pairing.h"
#include "transport/ucx/reorder.h"
#include "transport/ucx/transfers.h"

namespace mobula::transport::ucx {

// One connection of a UcxWorker.
//
// What happens to it from outside (frames, failures of its link, close()) is noted and acted on in
// dispatch(), from progress(): UCX endpoints are not closed inside UCX's callbacks, nor channels inside
// theirs.  It ends in two steps: it winds down (link left, everything pending ended), and once UCX has let go
// of all memory, it is over() and may be destroyed.
class UcxEndpoint final : public Endpoint, private Pairing::Owner, private Transfers::Sender {
 public:
  UcxEndpoint(Core& core, Pairing::Role role, const Pairing::Identity& identity);
  ~UcxEndpoint();  // REQUIRES: over(), or UCX's worker is gone.

  Pairing& pairing() { return pairing_; }
  std::uint64_t cookie() const { return identity_.cookie; }
  std::uint32_t slot() const { return identity_.slot; }
  const Link* link() const { return link_.get(); }

  Result<void> send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) override;
  void read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) override;
  void write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) override;
  void close() override;
  const PeerIdentity& peer() const override { return pairing_.peer(); }
  bool connected() const override { return state_ == State::kOpen; }

  // An active message with our cookie, from inside UCX.  Returns what UCX wants of its callback.
  struct Arrival {
    MessageHeader head;
    ConstBytes header;
    void* data = nullptr;  // The payload, or by rendezvous UCX's descriptor of it.
    std::size_t payload_bytes = 0;
    bool rendezvous = false;
  };
  ucs_status_t arrived(const Arrival& arrival);

  // The connection is lost.  The first reason stays.
  void end(const base::Error& why);
  // The peer is gone, but what it has sent may be on its way: lost in the next dispatch().
  void hang_up(const base::Error& why);

  // Acts on what has been noted.  From progress(), outside UCX.
  void dispatch();

  bool ending() const { return state_ >= State::kEnding; }
  bool closed_by_owner() const { return state_ == State::kClosed; }
  bool known_to_owner() const { return known_; }
  bool over() const { return wound_down_ && in_flight_ == 0; }
  const base::Error& why() const { return why_; }

 private:
  // Wiring: paired, and UCX makes the connection underneath, which takes progress() of both sides; so nothing is
  // said to be connected before.
  enum class State { kConnecting, kWiring, kOpen, kEnding, kClosed };
  struct Outgoing {
    MessageHeader head;
    ConstBytes header;
    ConstBytes payload;
    Completion* completion = nullptr;
  };

  void paired() override;
  void unpaired(const base::Error& why) override;
  void send_piece(Kind kind, const Access& access, ConstBytes payload) override;

  void post(Outgoing message);
  bool send_at_once(const Outgoing& message);
  void one_sided(Op::Step step, const RemoteSpan& remote, const LocalSpan& local, Completion& completion);
  void submit(Op& op);
  void launch(Op& op);
  ucs_status_ptr_t launch_send(Op& op);
  ucs_status_ptr_t launch_access(Op& op);
  ucs_status_ptr_t receive_by_rendezvous(Op& op, void* descriptor);
  void settle(Op& op, ucs_status_ptr_t request);
  void advance(Op& op, ucs_status_t status);
  void finish(Op& op, ucs_status_t status);
  void release(const Op& op);
  static void on_sent(void* request, ucs_status_t status, void* op);
  static void on_received(void* request, ucs_status_t status, std::size_t length, void* op);

  void deliver_waiting();
  void deliver(const MessageHeader& head, ConstBytes header, ConstBytes payload);
  void serve(const MessageHeader& head, ConstBytes header, ConstBytes payload);
  void wire_up();
  void wind_down();
  base::Error reason() const;
  void mark_busy();

  Core& core_;
  const Pairing::Identity identity_;
  Pairing pairing_;
  std::shared_ptr<Link> link_;
  State state_ = State::kConnecting;
  bool known_;         // Our owner has the pointer.
  bool busy_ = false;  // In core_.busy.
  bool wound_down_ = false;
  base::Error why_;
  std::optional<base::Error> hung_up_;  // Ends the connection once what had arrived is delivered.

  std::uint32_t next_sequence_ = 0;
  std::deque<Op*> pending_;  // Until the connection is there.
  std::size_t in_flight_ = 0;
  std::size_t limit_;  // Of charged_, unless nothing is charged.
  std::size_t charged_ = 0;
  std::size_t rendezvous_ = 0;   // Sends in flight.
  std::size_t kept_charge_ = 0;  // Of sends that have ended, but wait at the peer behind a rendezvous.
  bool wants_room_ = false;

  Reorder reorder_;
  Transfers transfers_;
};

}  // namespace mobula::transport::ucx
