#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>

#include "transport/ofi/core.h"
#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {

// The sending half of a connection: the bounded queue, the numbers, and the payloads that the peer has yet to read.
class Sender {
 public:
  Sender(Core& core, const Hello& ours) : core_(core), ours_(ours) {}
  Sender(const Sender&) = delete;
  Sender& operator=(const Sender&) = delete;

  struct Message {
    std::uint16_t type = 0;
    ConstBytes header;
    ConstBytes payload;
    Completion* completion = nullptr;
  };
  // As Endpoint::send(): at once where that can be, else queued for pump().  `consumed` goes along with each packet.
  Result<void> send(const Message& message, std::uint32_t consumed);
  // Sends what may go.  kExhausted: the provider has no room, try again later; kUnavailable: it never will.
  Result<void> pump(std::uint32_t consumed);
  Result<void> send_news(std::uint32_t consumed);

  // The way to the peer is known, and (open) leads there.
  Result<void> aim(const Hello& theirs);
  bool aimed() const { return peer_ != nullptr; }
  void open() { open_ = true; }

  // The peer has done with so many numbered packets.  False: more than were sent.
  bool acknowledged(std::uint32_t consumed);
  std::uint32_t told() const { return told_; }  // The latest `consumed` that has left.
  bool has_waiting() const { return !waiting_.empty(); }
  bool may_send_some() const { return has_waiting() && may_send(); }
  bool wants_attention() const { return may_send_some() || wants_room_; }
  // Whether the owner is to be told that there is room again.
  bool take_writable();

  // Everything that was not sent or read fails, and nothing is sent any more.
  void end(const base::Error& why);

 private:
  struct Outgoing {
    std::uint16_t type = 0;
    std::uint32_t sequence = 0;
    base::Buffer header;
    base::Buffer copy;  // Of the payload, unless it stays with its owner until it is done.
    ConstBytes payload;
    Completion* completion = nullptr;
    std::size_t charge = 0;
    Registration registration;  // Of a payload that the peer reads.
    bool rendezvous() const { return payload.size() > kEagerBytesMax; }
  };
  struct Pieces {  // Of a packet.
    PacketHeader head;
    ConstBytes header;
    ConstBytes body;
  };

  bool may_send() const { return open_ && next_ - acked_ < kWindow; }
  bool send_at_once(const Message& message, std::uint32_t consumed);
  Result<void> launch(Outgoing& message, std::uint32_t consumed);
  Result<void> announce(Outgoing& message, Pieces& packet, Source& source);
  Result<void> transmit(Pieces& packet);
  Result<void> inject(const Pieces& packet);
  Result<void> transmit_copy(const Pieces& packet);
  void done(Outgoing& message);

  Core& core_;
  const Hello& ours_;
  Port::Peer* peer_ = nullptr;
  std::uint64_t cookie_ = 0;  // The peer's.
  std::uint32_t slot_ = 0;
  bool open_ = false;

  std::uint32_t told_ = 0;
  std::uint32_t next_ = 0;
  std::uint32_t acked_ = 0;
  std::deque<std::unique_ptr<Outgoing>> waiting_;
  std::deque<std::unique_ptr<Outgoing>> announced_;  // Rendezvous that the peer has not done with, in order.
  std::size_t charged_ = 0;                          // Of both.
  bool wants_room_ = false;
};

}  // namespace mobula::transport::ofi
