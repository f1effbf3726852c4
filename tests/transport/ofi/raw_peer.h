#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "core/os/event_loop.h"
#include "tests/transport/party.h"
#include "transport/channel.h"
#include "transport/ofi/port.h"
#include "transport/ofi/wire.h"

namespace mobula::test {

// A peer that has proved itself, and then says over libfabric what it likes.
class RawPeer final : private transport::ofi::Port::Owner {
 public:
  RawPeer(World& world, const transport::OfiOptions& ofi, const transport::Address& to)
      : RawPeer(world, ofi, to, ofi.provider) {}
  // Claims to use another provider.
  RawPeer(World& world, const transport::OfiOptions& ofi, const transport::Address& to, const std::string& claim);
  ~RawPeer();

  void progress();
  // One packet.  REQUIRES: theirs.
  void send(const transport::ofi::PacketHeader& head, ConstBytes header, ConstBytes body);
  void send(const transport::ofi::PacketHeader& head, ConstBytes body) { send(head, {}, body); }
  // Bytes that need not be a packet.
  void send_bytes(const std::string& bytes);
  // As the receiver wants it, with the next number.
  transport::ofi::PacketHeader genuine(std::uint32_t sequence) const;

  std::optional<transport::ofi::Hello> theirs;

 private:
  struct Packet {
    std::string bytes;
    transport::ofi::Operation operation;
  };
  void post();
  void completed(transport::ofi::Operation&, std::size_t) override {}
  void failed(transport::ofi::Operation&, const base::Error&) override {}

  os::EventLoop loop_;
  std::shared_ptr<transport::ofi::Provider> provider_;
  std::unique_ptr<transport::ofi::Port> port_;
  std::unique_ptr<transport::Channel> channel_;
  transport::ofi::Port::Peer* target_ = nullptr;
  std::deque<Packet> packets_;  // All that were ever sent.
  std::size_t posted_ = 0;
};

}  // namespace mobula::test
