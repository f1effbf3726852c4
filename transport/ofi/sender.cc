#include "transport/ofi/sender.h"

#include <rdma/fi_errno.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "transport/ofi/library.h"

namespace mobula::transport::ofi {
namespace {

// What a message is charged besides its bytes: our record of it.
constexpr std::size_t kOverheadBytes = 1024;
// Packets up to this size are put together on the stack, where the provider takes as much at once.
constexpr std::size_t kInjectBytesMax = 1024;

std::size_t size_of(ConstBytes header, ConstBytes body) { return sizeof(PacketHeader) + header.size() + body.size(); }

void put_together(std::byte* into, const PacketHeader& head, ConstBytes header, ConstBytes body) {
  std::memcpy(into, &head, sizeof head);
  if (!header.empty()) std::memcpy(into + sizeof head, header.data(), header.size());
  if (!body.empty()) std::memcpy(into + sizeof head + header.size(), body.data(), body.size());
}

base::Error no_room() { return {base::Code::kExhausted, "the provider has no room"}; }

}  // namespace

Result<void> Sender::send(const Message& message, std::uint32_t consumed) {
  if (send_at_once(message, consumed)) return {};
  const std::size_t charge = message.header.size() + message.payload.size() + kOverheadBytes;
  if (charged_ != 0 && charged_ + charge > core_.options.queue_bytes_max) {
    wants_room_ = true;
    return base::Error{base::Code::kExhausted, "the queue to the peer is full"};
  }
  auto out = std::make_unique<Outgoing>();
  out->type = message.type;
  out->header.append(message.header);
  out->completion = message.completion;
  out->payload = message.payload;
  out->charge = charge;
  if (message.completion == nullptr && !message.payload.empty()) {
    out->copy.append(message.payload);
    out->payload = out->copy.view();
  }
  charged_ += charge;
  waiting_.push_back(std::move(out));
  return {};
}

bool Sender::send_at_once(const Message& message, std::uint32_t consumed) {
  const bool fits = message.payload.size() <= kEagerBytesMax && !core_.provider->shares_memory();
  if (!fits || !waiting_.empty() || !may_send()) return false;
  Pieces packet;
  packet.head.type = message.type;
  packet.head.sequence = next_;
  packet.head.consumed = consumed;
  packet.head.header_bytes = static_cast<std::uint16_t>(message.header.size());
  packet.header = message.header;
  packet.body = message.payload;
  if (!transmit(packet)) return false;  // The general way finds out what is the matter.
  ++next_;
  if (message.completion != nullptr) core_.completions.add(*message.completion, message.payload.size());
  return true;
}

Result<void> Sender::pump(std::uint32_t consumed) {
  while (!waiting_.empty() && may_send()) {
    if (auto sent = launch(*waiting_.front(), consumed); !sent) return sent;
    auto message = std::move(waiting_.front());
    waiting_.pop_front();
    if (message->rendezvous()) {
      announced_.push_back(std::move(message));
    } else {
      done(*message);
    }
  }
  return {};
}

Result<void> Sender::send_news(std::uint32_t consumed) {
  Pieces packet;
  packet.head.kind = Kind::kNews;
  packet.head.consumed = consumed;
  return transmit(packet);
}

Result<void> Sender::aim(const Hello& theirs) {
  auto peer = core_.port->reach(theirs.address);
  if (!peer) return peer.error();
  peer_ = *peer;
  cookie_ = theirs.cookie;
  slot_ = theirs.slot;
  return {};
}

Result<void> Sender::launch(Outgoing& message, std::uint32_t consumed) {
  Pieces packet;
  packet.head.kind = message.rendezvous() ? Kind::kRendezvous : Kind::kMessage;
  packet.head.type = message.type;
  packet.head.sequence = next_;
  packet.head.consumed = consumed;
  packet.head.header_bytes = static_cast<std::uint16_t>(message.header.size());
  packet.header = message.header.view();
  packet.body = message.payload;
  Source source;
  if (message.rendezvous()) {
    if (auto announced = announce(message, packet, source); !announced) return announced;
  }
  if (auto sent = transmit(packet); !sent) return sent;
  message.sequence = next_++;
  return {};
}

Result<void> Sender::announce(Outgoing& message, Pieces& packet, Source& source) {
  // The provider only reads it.
  const Bytes memory{const_cast<std::byte*>(message.payload.data()), message.payload.size()};
  if (message.registration.empty()) {
    auto made = Registration::make(core_.provider, {memory, FI_REMOTE_READ, core_.port->ep()});
    if (!made) return base::Error{base::Code::kUnavailable, made.error().what};
    message.registration = *std::move(made);
  }
  source = {remote_address(*core_.provider, memory), message.registration.key(), memory.size()};
  packet.body = base::object_bytes(source);
  return {};
}

Result<void> Sender::transmit(Pieces& packet) {
  packet.head.cookie = cookie_;
  packet.head.slot = slot_;
  const std::size_t at_once = std::min(kInjectBytesMax, core_.provider->info()->tx_attr->inject_size);
  auto sent = size_of(packet.header, packet.body) <= at_once ? inject(packet) : transmit_copy(packet);
  if (sent) told_ = packet.head.consumed;
  return sent;
}

Result<void> Sender::inject(const Pieces& packet) {
  std::array<std::byte, kInjectBytesMax> bytes;
  put_together(bytes.data(), packet.head, packet.header, packet.body);
  const auto sent = fi_inject(core_.port->ep(), bytes.data(), size_of(packet.header, packet.body), peer_->handle);
  if (sent == 0) return {};
  if (sent == -FI_EAGAIN) return no_room();
  return base::Error{base::Code::kUnavailable, error_of("sending a packet", sent).what};
}

Result<void> Sender::transmit_copy(const Pieces& pieces) {
  Packet* packet = core_.packets->take(Operation::What::kSend);
  if (packet == nullptr) return no_room();
  put_together(packet->bytes, pieces.head, pieces.header, pieces.body);
  packet->to = peer_;
  packet->cookie = ours_.cookie;
  packet->slot = ours_.slot;
  const auto sent = fi_send(core_.port->ep(), packet->bytes, size_of(pieces.header, pieces.body), packet->descriptor,
                            peer_->handle, static_cast<Operation*>(packet));
  if (sent == 0) {
    ++peer_->in_flight;
    return {};
  }
  core_.packets->give_back(*packet);
  if (sent == -FI_EAGAIN) return no_room();
  return base::Error{base::Code::kUnavailable, error_of("sending a packet", sent).what};
}

void Sender::done(Outgoing& message) {
  charged_ -= message.charge;
  if (message.completion != nullptr) core_.completions.add(*message.completion, message.payload.size());
}

bool Sender::acknowledged(std::uint32_t consumed) {
  const std::uint32_t fresh = consumed - acked_;
  if (fresh > next_ - acked_) {
    // Packets may overtake each other, so old news is no news.
    return fresh > std::numeric_limits<std::uint32_t>::max() / 2;
  }
  acked_ = consumed;
  while (!announced_.empty() && announced_.front()->sequence - acked_ >= kWindow) {
    done(*announced_.front());
    announced_.pop_front();
  }
  return true;
}

bool Sender::take_writable() {
  return wants_room_ && charged_ <= core_.options.queue_bytes_max / 2 && std::exchange(wants_room_, false);
}

void Sender::end(const base::Error& why) {
  open_ = false;
  for (auto* queue : {&announced_, &waiting_}) {
    for (const auto& message : *queue) {
      if (message->completion != nullptr) core_.completions.add(*message->completion, why);
    }
    queue->clear();
  }
  if (peer_ != nullptr) core_.port->leave(*std::exchange(peer_, nullptr));
}

}  // namespace mobula::transport::ofi
