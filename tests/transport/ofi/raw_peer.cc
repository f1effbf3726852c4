#include "tests/transport/ofi/raw_peer.h"

#include <rdma/fi_errno.h>

namespace mobula::test {

using transport::ofi::PacketHeader;

RawPeer::RawPeer(World& world, const transport::OfiOptions& ofi, const transport::Address& to,
                 const std::string& claim) {
  provider_ = *transport::ofi::Provider::open(ofi, "127.0.0.1");
  port_ = *transport::ofi::Port::open(provider_, *this);
  transport::ChannelOptions options;
  options.credentials = world.options("raw").credentials;
  transport::Channel::Callbacks callbacks;
  callbacks.ready = [this, claim] {
    transport::ofi::Hello hello;
    hello.cookie = 1;
    hello.provider = claim;
    hello.address = port_->address();
    EXPECT_TRUE(channel_->send(transport::ofi::kHelloFrame, 0, 0, encode(hello).view()).ok());
  };
  callbacks.frame = [this](transport::Frame&& frame) {
    auto hello = transport::ofi::decode_hello(frame.payload);
    if (!hello) return;
    theirs = *std::move(hello);
    target_ = *port_->reach(theirs->address);
    // The first packet shows that the way is open.
    PacketHeader head = genuine(0);
    head.kind = transport::ofi::Kind::kNews;
    send(head, {});
  };
  callbacks.closed = [](const base::Error&) {};
  channel_ = *transport::connect_channel(loop_, to, options, std::move(callbacks));
}

RawPeer::~RawPeer() {
  channel_.reset();
  port_.reset();
}

void RawPeer::progress() {
  loop_.run_once(base::Duration::zero());
  port_->poll();
  post();
}

void RawPeer::send(const PacketHeader& head, ConstBytes header, ConstBytes body) {
  std::string bytes(base::as_string_view(base::object_bytes(head)));
  bytes += base::as_string_view(header);
  bytes += base::as_string_view(body);
  send_bytes(bytes);
}

void RawPeer::send_bytes(const std::string& bytes) {
  packets_.push_back({bytes, {}});
  post();
}

// Connecting takes progress of both sides, and until then the provider takes nothing.
void RawPeer::post() {
  for (; posted_ < packets_.size(); ++posted_) {
    Packet& next = packets_[posted_];
    const auto sent =
        fi_send(port_->ep(), next.bytes.data(), next.bytes.size(), nullptr, target_->handle, &next.operation);
    if (sent == -FI_EAGAIN) return;
    EXPECT_EQ(sent, 0);
  }
}

PacketHeader RawPeer::genuine(std::uint32_t sequence) const {
  PacketHeader head;
  head.cookie = theirs->cookie;
  head.slot = theirs->slot;
  head.sequence = sequence;
  return head;
}

}  // namespace mobula::test
