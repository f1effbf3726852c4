#include "transport/ofi/endpoint.h"

#include <utility>

namespace mobula::transport::ofi {

OfiEndpoint::OfiEndpoint(Core& core, Role role, const Hello& ours)
    : core_(core),
      role_(role),
      pairing_(ours, *this),
      known_(role == Role::kConnector),
      sender_(core, pairing_.ours()) {}

OfiEndpoint::~OfiEndpoint() = default;

// --- Sending ---------------------------------------------------------------------------------------------

Result<void> OfiEndpoint::send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) {
  if (header.size() > kHeaderBytesMax || payload.size() > kMessageBytesMax) {
    return base::Error{base::Code::kInvalid, "a message of " + std::to_string(header.size()) + " + " +
                                                 std::to_string(payload.size()) + " bytes is too long"};
  }
  if (ending()) return base::Error{base::Code::kUnavailable, "the connection is lost"};
  auto sent = sender_.send({type, header, payload, completion}, window_.next());
  if (sent && sender_.has_waiting()) mark_busy();
  return sent;
}

// Sends what may go, and news if that is due and nothing has carried it.
void OfiEndpoint::push_out() {
  if (state_ != State::kOpen) return;
  const std::uint32_t consumed = window_.next();
  auto sent = sender_.pump(consumed);
  if (sent && news_due_ && sender_.told() != consumed) sent = sender_.send_news(consumed);
  if (sent) news_due_ = false;
  heed(sent);
}

void OfiEndpoint::heed(const Result<void>& sent) {
  if (sent) return;
  if (sent.error().code != base::Code::kExhausted) return end(sent.error());
  core_.later.push_back(this);
}

// --- One-sided -------------------------------------------------------------------------------------------

void OfiEndpoint::read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) {
  one_sided(Accesses::Start::What::kRead, from, to, completion);
}

void OfiEndpoint::write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) {
  one_sided(Accesses::Start::What::kWrite, to, from, completion);
}

void OfiEndpoint::one_sided(Accesses::Start::What what, const RemoteSpan& remote, const LocalSpan& local,
                            Completion& completion) {
  const auto refuse = [&](const base::Error& why) { core_.completions.add(completion, why); };
  if (ending()) return refuse({base::Code::kUnavailable, "the connection is lost"});
  const auto bytes = bytes_of(local);
  if (!bytes) return refuse(bytes.error());
  if (remote.size != local.size) return refuse({base::Code::kInvalid, "the two spans differ in size"});
  const auto key = decode_region_key(remote.key);
  if (!key) return refuse({base::Code::kInvalid, "this is not the key of a region"});
  if (auto fits = check_bounds(*key, remote.offset, remote.size); !fits) return refuse(fits.error());
  if (remote.size == 0) {
    core_.completions.add(completion, std::size_t{0});
    return;
  }
  Accesses::Start start;
  start.what = what;
  start.remote = key->base + remote.offset;
  start.key = key->key;
  start.local = *bytes;
  start.region = core_.regions.find(local.region);
  start.owner = this;
  start.completion = &completion;
  if (state_ != State::kOpen) {
    early_.push_back(std::move(start));
    return;
  }
  start.peer = pairing_.hello().address;
  core_.accesses.start(start);
}

// --- Receiving -------------------------------------------------------------------------------------------

bool OfiEndpoint::arrived(const Arrival& arrival) {
  if (ending()) return false;
  if (!std::exchange(heard_, true)) mark_busy();
  const PacketHeader& head = arrival.head;
  if (!sender_.acknowledged(head.consumed)) {
    end({base::Code::kInvalid, "the peer claims to have received what was not sent"});
    return false;
  }
  if (sender_.wants_attention()) mark_busy();
  if (head.kind == Kind::kNews) return false;
  if (head.kind == Kind::kMessage && core_.may_deliver && state_ == State::kOpen && known_ &&
      window_.is_next(head.sequence)) {
    window_.advance();
    deliver(head, arrival.header, arrival.body);
    return false;
  }
  Held* held = window_.place(head.sequence);
  const auto source = read_exactly<Source>(arrival.body);
  const bool sound = head.kind == Kind::kMessage || (head.kind == Kind::kRendezvous && source && source->size != 0 &&
                                                     source->size <= kMessageBytesMax);
  if (held == nullptr || !sound) {
    end({base::Code::kInvalid, held == nullptr ? "the peer sends more than the connection's window, or a message twice"
                                               : "the peer sends a malformed packet"});
    return false;
  }
  if (head.sequence != window_.next()) ++core_.counters.reordered;
  held->packet = arrival.packet;
  held->head = head;
  held->header = arrival.header;
  held->payload = arrival.body;
  held->state = Held::State::kReady;
  if (head.kind == Kind::kRendezvous) {
    held->source = *source;
    held->state = Held::State::kUnread;
    ++core_.counters.rendezvous;
  }
  mark_busy();
  return true;
}

void OfiEndpoint::deliver_waiting() {
  if (state_ == State::kOpen && !std::exchange(known_, true)) {
    const InboxCall call(core_);
    core_.inbox.accepted(*this);
  }
  while (state_ == State::kOpen && window_.ready()) {
    Held held = window_.take();
    if (held.head.kind == Kind::kRendezvous) news_due_ = true;  // Its sender waits for it.
    deliver(held.head, held.header, held.payload);
    core_.packets->give_back(*held.packet);
    core_.buffers.give_back(std::move(held.piece));
  }
}

void OfiEndpoint::deliver(const PacketHeader& head, ConstBytes header, ConstBytes payload) {
  if (window_.next() - sender_.told() >= kWindow / 2) news_due_ = true;
  if (news_due_) mark_busy();
  const InboxCall call(core_);
  core_.inbox.message(*this, head.type, header, payload);
}

// As many at once as fit into what our own queue may hold, or one.
void OfiEndpoint::read_payloads() {
  for (std::uint32_t i = 0; i < kWindow && state_ == State::kOpen; ++i) {
    Held& held = window_.at(window_.next() + i);
    if (held.state != Held::State::kUnread) continue;
    const bool fits = reading_bytes_ == 0 || reading_bytes_ + held.source.size <= core_.options.queue_bytes_max;
    if (!fits) return;
    read_payload(held);
  }
}

void OfiEndpoint::read_payload(Held& held) {
  PayloadRead& read = reads_.emplace_back();
  read.self = std::prev(reads_.end());
  read.endpoint = this;
  read.sequence = held.head.sequence;
  read.size = held.source.size;
  read.piece = core_.buffers.take(read.size);
  if (read.piece.memory == nullptr) {
    reads_.pop_back();
    return end({base::Code::kExhausted, "no memory for a message of " + std::to_string(held.source.size) + " bytes"});
  }
  held.state = Held::State::kReading;
  reading_bytes_ += read.size;
  Accesses::Start start;
  start.peer = pairing_.hello().address;
  start.remote = held.source.address;
  start.key = held.source.key;
  start.local = {read.piece.memory.get(), read.size};
  start.owner = this;
  start.completion = &read;
  core_.accesses.start(start);
}

void OfiEndpoint::payload_read(PayloadRead& read, const Result<std::size_t>& bytes) {
  reading_bytes_ -= read.size;
  if (!ending() && bytes) {
    Held& held = window_.at(read.sequence);
    held.state = Held::State::kReady;
    held.payload = {read.piece.memory.get(), read.size};
    held.piece = std::move(read.piece);
  } else if (!ending()) {
    end({base::Code::kUnavailable, "reading a message's payload: " + bytes.error().what});
  }
  reads_.erase(read.self);
  mark_busy();
}

// --- Beginning and end -----------------------------------------------------------------------------------

void OfiEndpoint::paired() {
  if (auto aimed = sender_.aim(pairing_.hello()); !aimed) return hang_up(aimed.error());
  state_ = State::kWiring;
  mark_busy();
}

void OfiEndpoint::wire() {
  if (!greeted_ && (role_ == Role::kConnector || heard_)) {
    const auto sent = sender_.send_news(window_.next());
    greeted_ = sent.ok();
    heed(sent);
  }
  if (!greeted_ || !heard_ || ending()) return;
  state_ = State::kOpen;
  sender_.open();
  for (Accesses::Start& start : std::exchange(early_, {})) {
    start.peer = pairing_.hello().address;
    core_.accesses.start(start);
  }
}

void OfiEndpoint::unpaired(const base::Error& why) {
  const bool refused = why.code == base::Code::kDenied || why.code == base::Code::kInvalid;
  hang_up({refused ? why.code : base::Code::kUnavailable, why.what});
}

void OfiEndpoint::hang_up(const base::Error& why) {
  if (!hung_up_) hung_up_ = why;
  mark_busy();
}

void OfiEndpoint::end(const base::Error& why) {
  if (ending()) return;
  state_ = State::kEnding;
  why_ = why;
  mark_busy();
}

void OfiEndpoint::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  mark_busy();
}

base::Error OfiEndpoint::reason() const {
  if (state_ == State::kClosed) return {base::Code::kCancelled, "the connection was closed"};
  return {base::Code::kUnavailable, why_.what};
}

void OfiEndpoint::dispatch() {
  busy_ = false;
  if (state_ == State::kWiring && !hung_up_) wire();
  deliver_waiting();
  if (!hung_up_) {
    read_payloads();
    push_out();
  }
  if (hung_up_) end(*hung_up_);
  if (ending()) return wind_down();
  if (sender_.take_writable()) {
    const InboxCall call(core_);
    core_.inbox.writable(*this);
  }
}

void OfiEndpoint::wind_down() {
  if (std::exchange(wound_down_, true)) return;
  pairing_.close();
  sender_.end(reason());
  core_.accesses.abandon(this, reason());
  for (const Accesses::Start& start : std::exchange(early_, {})) core_.completions.add(*start.completion, reason());
  for (std::uint32_t i = 0; i < kWindow; ++i) {
    Held held = std::exchange(window_.at(i), Held());
    if (held.packet != nullptr) core_.packets->give_back(*held.packet);
  }
}

void OfiEndpoint::mark_busy() {
  if (std::exchange(busy_, true)) return;
  core_.busy.push_back(this);
}

}  // namespace mobula::transport::ofi
