#include "transport/shm/endpoint.h"

#include <algorithm>
#include <cstring>

namespace mobula::transport::shm {

Result<void> ShmEndpoint::send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) {
  const std::size_t head = padded(header.size());
  const std::size_t body = head + payload.size();
  if (state_ == State::kOpen && queue_.empty() && header.size() <= kHeaderBytesMax &&
      body <= link_.out().record_bytes_max() &&
      (completion == nullptr || payload.size() <= context_.options.eager_bytes_max)) [[likely]] {
    if (std::byte* at = link_.out().reserve(body)) [[likely]] {
      // The payload first: the consumer polls the line of the head, and would take it away in between.
      if (!payload.empty()) std::memcpy(at + head, payload.data(), payload.size());
      if (!header.empty()) std::memcpy(at, header.data(), header.size());
      link_.publish(pack({Kind::kMessage, type, static_cast<std::uint16_t>(header.size())}), body);
      context_.receiver_cpu = link_.peer_cpu();
      if (completion != nullptr) context_.done.add(*completion, payload.size());
      return {};
    }
  }
  return send_slow(type, header, payload, completion);
}

Result<void> ShmEndpoint::send_slow(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) {
  if (header.size() > kHeaderBytesMax || payload.size() > kMessageBytesMax) {
    return base::Error{base::Code::kInvalid, "a message of " + std::to_string(header.size()) + " + " +
                                                 std::to_string(payload.size()) + " bytes is too long"};
  }
  if (state_ == State::kEnding || state_ == State::kClosed) {
    return base::Error{base::Code::kUnavailable, why_.what};
  }
  const bool by_rendezvous =
      completion != nullptr && peer_reads_us_ && payload.size() > context_.options.eager_bytes_max;
  const std::size_t queued = header.size() + (by_rendezvous ? sizeof(RendezvousOffer) : payload.size());
  if (!queue_.accepts(queued)) {
    wants_writable_ = true;
    return base::Error{base::Code::kExhausted, std::to_string(queue_.bytes()) + " bytes are queued for this peer"};
  }
  Tag tag{Kind::kMessage, type, static_cast<std::uint16_t>(header.size())};
  if (by_rendezvous) {
    const RendezvousOffer offer{next_operation_++, reinterpret_cast<std::uint64_t>(payload.data()), payload.size()};
    offered_.emplace(offer.operation, Offered{completion, payload.size()});
    tag.kind = Kind::kRendezvous;
    post(tag, header, base::object_bytes(offer), nullptr);
  } else {
    post(tag, header, payload, completion);
  }
  return {};
}

// Writes what fits and keeps the rest.
void ShmEndpoint::post(const Tag& tag, ConstBytes header, ConstBytes payload, Completion* completion) {
  queue_.add(tag, header, payload, completion);
  if (state_ == State::kOpen) queue_.pump(link_, context_.done);
  queue_.own_payload();
  if (!queue_.empty()) mark_busy();
}

// Writes what waits, requests and replies included.
void ShmEndpoint::flush() {
  if (state_ != State::kOpen) return;
  relay_.pump_answers(link_);
  if (!queue_.empty()) queue_.pump(link_, context_.done);
  if (queue_.empty() && relay_.wants_pump()) relay_.pump(link_);
  if (!queue_.empty() || relay_.wants_pump()) {
    mark_busy();
  } else {
    link_.end_wait();
  }
  if (!link_.is_valid()) [[unlikely]]
    peer_gone({base::Code::kInvalid, "the peer broke the ring"});
}

void ShmEndpoint::read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) {
  const auto local = bytes_of(to);
  const auto key = decode_region_key(from.key);
  if (state_ == State::kEnding || state_ == State::kClosed)
    return context_.done.add(completion, base::Error{base::Code::kUnavailable, why_.what});
  if (!local) return context_.done.add(completion, local.error());
  if (!key) return context_.done.add(completion, key.error());
  if (from.size != to.size) {
    return context_.done.add(completion, base::Error{base::Code::kInvalid, "read: the sizes differ"});
  }
  one_sided_.start({os::Access::kReadOnly, *key, from.offset, local->data(), to.size, 0, &completion});
  if (one_sided_.has_work()) mark_busy();
  flush();
}

void ShmEndpoint::write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) {
  const auto local = bytes_of(from);
  const auto key = decode_region_key(to.key);
  if (state_ == State::kEnding || state_ == State::kClosed)
    return context_.done.add(completion, base::Error{base::Code::kUnavailable, why_.what});
  if (!local) return context_.done.add(completion, local.error());
  if (!key) return context_.done.add(completion, key.error());
  if (from.size != to.size) {
    return context_.done.add(completion, base::Error{base::Code::kInvalid, "write: the sizes differ"});
  }
  one_sided_.start({os::Access::kReadWrite, *key, to.offset, local->data(), from.size, 0, &completion});
  if (one_sided_.has_work()) mark_busy();
  flush();
}

std::size_t ShmEndpoint::work() {
  if (connect_failed_ && state_ == State::kConnecting) peer_gone(base::Error(why_));
  if (state_ == State::kEnding) {
    // Complete messages first.  A payload that the peer still held cannot come any more.
    const std::size_t taken = deliver_rest_ && link_.is_open() ? drain() : 0;
    if (state_ != State::kEnding) return taken;
    if (deliver_rest_ && link_.is_open() && has_record() && !is_stalled()) {
      mark_busy();
      return taken;
    }
    finish();
    return taken + 1;
  }
  std::size_t ran = 0;
  if (is_stalled()) pull();
  if (state_ == State::kOpen && one_sided_.has_work() && context_.slice_budget > 0) {
    const std::size_t copied = one_sided_.work(context_.slice_budget);
    context_.slice_budget -= std::min(copied, context_.slice_budget);
    ++ran;
  }
  flush();
  if (state_ == State::kOpen && (one_sided_.has_work() || is_stalled())) mark_busy();
  if (wants_writable_ && queue_.half_empty() && state_ == State::kOpen) {
    wants_writable_ = false;
    context_.inbox.writable(*this);
    ++ran;
  }
  return ran;
}

// What only waits for room in the ring may sleep.
bool ShmEndpoint::announce_wait() {
  if (state_ == State::kConnecting || state_ == State::kClosed) return !connect_failed_;
  if (state_ != State::kOpen || is_stalled() || one_sided_.has_work()) return false;
  if (wants_writable_ && queue_.half_empty()) return false;
  link_.announce_wait();
  return true;
}

bool ShmEndpoint::may_sleep() {
  if (state_ != State::kOpen) return true;
  if (!queue_.empty()) return !queue_.has_room(link_);
  return !relay_.wants_pump() || !link_.out().has_room(link_.out().record_bytes_max());
}

void ShmEndpoint::mark_busy() {
  if (busy_) return;
  busy_ = true;
  context_.busy.push_back(this);
}

}  // namespace mobula::transport::shm
