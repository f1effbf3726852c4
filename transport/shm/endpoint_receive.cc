#include <algorithm>
#include <cstring>
#include <utility>

#include "transport/shm/endpoint.h"

// Everything here reads memory that the peer can write: lengths come once, from the record's tag and the ring's
// check, and are compared with what they must fit before they are used.
namespace mobula::transport::shm {
namespace {

// So that one peer's flood does not keep the others waiting.
constexpr std::size_t kBatch = 32;

}  // namespace

std::size_t ShmEndpoint::drain() {
  std::size_t taken = 0;
  while (taken < kBatch && !is_stalled()) {
    const RingReader::Record record = link_.in().front();
    if (record.tag == 0) break;
    const bool sound = take(record.tag, record.body);
    ++taken;
    if (state_ == State::kClosed) return taken;
    if (!sound) {
      peer_gone({base::Code::kInvalid, "the peer sent a malformed record"});
      return taken;
    }
    link_.pop();
  }
  if (!link_.in().is_valid()) [[unlikely]]
    peer_gone({base::Code::kInvalid, "the peer broke the ring"});
  return taken;
}

// False: no peer that follows the protocol sends this.
bool ShmEndpoint::take(std::uint32_t packed, ConstBytes body) {
  const Tag tag = unpack(packed);
  if (tag.kind == Kind::kMessage) [[likely]] {
    if (tag.header_bytes > kHeaderBytesMax || padded(tag.header_bytes) > body.size()) return false;
    deliver(tag, body);
    return true;
  }
  switch (tag.kind) {
    case Kind::kFirst: return begin(tag, body);
    case Kind::kNext: return append(body);
    case Kind::kRendezvous: return offered(tag, body);
    case Kind::kFinished: return finished(body);
    case Kind::kCanRead: peer_reads_us_ = context_.tuning.process_vm; return true;
    default: break;
  }
  const bool sound = relay_.take(tag.kind, body, queue_).ok();
  flush();
  return sound;
}

void ShmEndpoint::deliver(const Tag& tag, ConstBytes body) {
  // A copy, so that what the owner checks and what it uses are the same bytes.
  std::byte header[kHeaderBytesMax];
  const std::size_t head = tag.header_bytes;
  if (head != 0) std::memcpy(header, body.data(), head);
  context_.inbox.message(*this, tag.type, {header, head}, body.subspan(padded(head)));
}

bool ShmEndpoint::begin(const Tag& tag, ConstBytes body) {
  std::uint64_t bytes = 0;
  const std::size_t head = padded(tag.header_bytes);
  if (incoming_.bytes != 0 || tag.header_bytes > kHeaderBytesMax || body.size() < sizeof bytes + head) return false;
  std::memcpy(&bytes, body.data(), sizeof bytes);
  if (bytes == 0 || bytes > kMessageBytesMax) return false;
  incoming_.tag = tag;
  std::memcpy(incoming_.header.data(), body.data() + sizeof bytes, tag.header_bytes);
  incoming_.landing = context_.landings.take(bytes);
  incoming_.bytes = bytes;
  incoming_.got = 0;
  incoming_.by_rendezvous = false;
  return append(body.subspan(sizeof bytes + head));
}

bool ShmEndpoint::append(ConstBytes part) {
  if (incoming_.bytes == 0 || part.size() > incoming_.bytes - incoming_.got) return false;
  std::memcpy(incoming_.landing.bytes.get() + incoming_.got, part.data(), part.size());
  incoming_.got += part.size();
  if (incoming_.got == incoming_.bytes) deliver_incoming();
  return true;
}

bool ShmEndpoint::offered(const Tag& tag, ConstBytes body) {
  RendezvousOffer offer{};
  const std::size_t head = padded(tag.header_bytes);
  if (incoming_.bytes != 0 || tag.header_bytes > kHeaderBytesMax || body.size() != head + sizeof offer) return false;
  std::memcpy(&offer, body.data() + head, sizeof offer);
  if (offer.bytes == 0 || offer.bytes > kMessageBytesMax) return false;
  incoming_.tag = tag;
  std::memcpy(incoming_.header.data(), body.data(), tag.header_bytes);
  incoming_.landing = context_.landings.take(offer.bytes);
  incoming_.bytes = offer.bytes;
  incoming_.got = 0;
  incoming_.operation = offer.operation;
  incoming_.address = offer.address;
  incoming_.by_rendezvous = true;
  mark_busy();  // The records behind it wait until it has been pulled.
  return true;
}

void ShmEndpoint::pull() {
  const std::size_t slice = std::min(context_.slice_budget, incoming_.bytes - incoming_.got);
  if (slice == 0) return;
  context_.slice_budget -= slice;
  const auto read =
      process_.read(incoming_.address + incoming_.got, {incoming_.landing.bytes.get() + incoming_.got, slice});
  if (!read) return peer_gone({read.error().code, "cannot read a message's payload: " + read.error().what});
  incoming_.got += slice;
  if (incoming_.got < incoming_.bytes) return;
  queue_.add_control(Kind::kFinished, base::object_bytes(incoming_.operation));
  flush();
  deliver_incoming();
}

void ShmEndpoint::deliver_incoming() {
  const std::size_t bytes = std::exchange(incoming_.bytes, 0);
  Landing landing = std::exchange(incoming_.landing, {});
  const Tag tag = incoming_.tag;
  context_.inbox.message(*this, tag.type, {incoming_.header.data(), tag.header_bytes}, {landing.bytes.get(), bytes});
  context_.landings.give(std::move(landing));
}

bool ShmEndpoint::finished(ConstBytes body) {
  std::uint64_t operation = 0;
  if (body.size() != sizeof operation) return false;
  std::memcpy(&operation, body.data(), sizeof operation);
  const auto it = offered_.find(operation);
  if (it == offered_.end()) return false;
  context_.done.add(*it->second.completion, it->second.bytes);
  offered_.erase(it);
  return true;
}

}  // namespace mobula::transport::shm
