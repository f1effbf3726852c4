#include "transport/ucx/endpoint.h"

#include <algorithm>
#include <array>
#include <utility>

namespace mobula::transport::ucx {
namespace {

// What a message is charged besides its bytes: our record of it and UCX's.
constexpr std::size_t kOpOverheadBytes = 1024;
// Messages up to this size are offered to UCX to be sent at once, without a record; it takes what fits into
// one inlined operation of the link.
constexpr std::size_t kAtOnceBytesMax = 512;

}  // namespace

UcxEndpoint::UcxEndpoint(Core& core, Pairing::Role role, const Pairing::Identity& identity)
    : core_(core),
      identity_(identity),
      pairing_(core, role, identity, *this),
      known_(role == Pairing::Role::kConnector),
      limit_(core.options.queue_bytes_max),
      reorder_(core.buffers, core.options.queue_bytes_max + kMessageBytesMax + kOpOverheadBytes) {}

UcxEndpoint::~UcxEndpoint() = default;

// --- Sending ---------------------------------------------------------------------------------------------

Result<void> UcxEndpoint::send(std::uint16_t type, ConstBytes header, ConstBytes payload, Completion* completion) {
  if (header.size() > kHeaderBytesMax || payload.size() > kMessageBytesMax) {
    return base::Error{base::Code::kInvalid, "a message of " + std::to_string(header.size()) + " + " +
                                                 std::to_string(payload.size()) + " bytes is too long"};
  }
  if (ending()) return base::Error{base::Code::kUnavailable, "the connection is lost"};
  const std::size_t bytes = header.size() + payload.size() + kOpOverheadBytes;
  if (charged_ != 0 && charged_ + bytes > limit_) {
    wants_room_ = true;
    return base::Error{base::Code::kExhausted, "the queue to the peer is full"};
  }
  Outgoing message;
  message.head.type = type;
  message.header = header;
  message.payload = payload;
  message.completion = completion;
  post(message);
  return {};
}

void UcxEndpoint::send_piece(Kind kind, const Access& access, ConstBytes payload) {
  Outgoing message;
  message.head.kind = kind;
  message.header = base::object_bytes(access);
  message.payload = payload;
  post(message);
}

void UcxEndpoint::post(Outgoing message) {
  message.head.sequence = next_sequence_++;
  if (send_at_once(message)) return;
  Op& op = core_.ops.take(*this, Op::Step::kSend);
  op.completion = message.completion;
  op.result_bytes = message.payload.size();
  op.rendezvous = message.payload.size() > core_.options.eager_bytes_max;
  op.copy.put(message.head);
  op.copy.append(message.header);
  op.header_bytes = op.copy.size();
  op.payload = message.payload;
  if (message.completion == nullptr && !message.payload.empty()) {
    op.copy.append(message.payload);
    op.payload = op.copy.view().subspan(op.header_bytes);
  }
  op.charge = message.header.size() + message.payload.size() + kOpOverheadBytes;
  charged_ += op.charge;
  submit(op);
}

// What fits into one operation of the link needs no record; UCX has copied it when it returns.
bool UcxEndpoint::send_at_once(const Outgoing& message) {
  const std::size_t bytes = message.header.size() + message.payload.size();
  if (state_ != State::kOpen || link_->closed() || bytes > kAtOnceBytesMax) return false;
  std::array<std::byte, sizeof(MessageHeader) + kAtOnceBytesMax> header;
  MessageHeader head = message.head;
  head.cookie = pairing_.hello().cookie;
  head.slot = pairing_.hello().slot;
  std::memcpy(header.data(), &head, sizeof head);
  if (!message.header.empty()) std::memcpy(header.data() + sizeof head, message.header.data(), message.header.size());
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FLAG_FORCE_IMM_CMPL;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  const ucs_status_ptr_t sent =
      ucp_am_send_nbx(link_->ep(), kActiveMessageId, header.data(), sizeof head + message.header.size(),
                      message.payload.data(), message.payload.size(), &param);
  if (sent != nullptr) return false;  // The general way finds out what is the matter.
  if (message.completion != nullptr) core_.completions.add(*message.completion, message.payload.size());
  if (rendezvous_ != 0) {
    charged_ += bytes + kOpOverheadBytes;
    kept_charge_ += bytes + kOpOverheadBytes;
  }
  return true;
}

// --- One-sided -------------------------------------------------------------------------------------------

void UcxEndpoint::read(const RemoteSpan& from, const LocalSpan& to, Completion& completion) {
  one_sided(Op::Step::kRead, from, to, completion);
}

void UcxEndpoint::write(const LocalSpan& from, const RemoteSpan& to, Completion& completion) {
  one_sided(Op::Step::kWrite, to, from, completion);
}

void UcxEndpoint::one_sided(Op::Step step, const RemoteSpan& remote, const LocalSpan& local, Completion& completion) {
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
  if (key->rkey.empty() || !core_.context->one_sided()) {
    const Kind kind = step == Op::Step::kRead ? Kind::kRead : Kind::kWrite;
    transfers_.start({kind, *key, remote.offset, *bytes, &completion});
    if (state_ == State::kOpen) transfers_.pump(*this);
    return;
  }
  Op& op = core_.ops.take(*this, step);
  op.completion = &completion;
  op.result_bytes = remote.size;
  op.local = *bytes;
  op.remote_offset = remote.offset;
  op.copy.append(remote.key);
  submit(op);
}

// --- What UCX does for us -----------------------------------------------------------------------------------

void UcxEndpoint::submit(Op& op) {
  if (state_ < State::kOpen) {
    pending_.push_back(&op);
    return;
  }
  launch(op);
}

void UcxEndpoint::launch(Op& op) {
  ++in_flight_;
  if (op.rendezvous) ++rendezvous_;
  if (link_->closed()) return finish(op, UCS_ERR_CONNECTION_RESET);
  settle(op, op.step == Op::Step::kSend ? launch_send(op) : launch_access(op));
}

ucs_status_ptr_t UcxEndpoint::launch_send(Op& op) {
  // Where the peer keeps us was not known when the header was made.
  MessageHeader head;
  std::memcpy(&head, op.copy.data(), sizeof head);
  head.cookie = pairing_.hello().cookie;
  head.slot = pairing_.hello().slot;
  std::memcpy(op.copy.data(), &head, sizeof head);
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = op.rendezvous ? UCP_AM_SEND_FLAG_RNDV : UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = &UcxEndpoint::on_sent;
  param.user_data = &op;
  return ucp_am_send_nbx(link_->ep(), kActiveMessageId, op.copy.data(), op.header_bytes, op.payload.data(),
                         op.payload.size(), &param);
}

ucs_status_ptr_t UcxEndpoint::launch_access(Op& op) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.send = &UcxEndpoint::on_sent;
  param.user_data = &op;
  if (op.step == Op::Step::kFlush || op.step == Op::Step::kWireUp) return ucp_ep_flush_nbx(link_->ep(), &param);
  const auto key = decode_region_key(op.copy.view());
  auto rkey = link_->rkey_of(*key);
  if (!rkey) return UCS_STATUS_PTR(UCS_ERR_UNREACHABLE);
  op.rkey = *rkey;
  ++op.rkey->uses;
  ++core_.counters.one_sided;
  const std::uint64_t address = key->base + op.remote_offset;
  if (op.step == Op::Step::kRead) {
    return ucp_get_nbx(link_->ep(), op.local.data(), op.local.size(), address, op.rkey->handle, &param);
  }
  return ucp_put_nbx(link_->ep(), op.local.data(), op.local.size(), address, op.rkey->handle, &param);
}

ucs_status_ptr_t UcxEndpoint::receive_by_rendezvous(Op& op, void* descriptor) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.recv_am = &UcxEndpoint::on_received;
  param.user_data = &op;
  const Bytes into = op.held->payload();
  return ucp_am_recv_data_nbx(core_.ucp, descriptor, into.data(), into.size(), &param);
}

void UcxEndpoint::on_sent(void* request, ucs_status_t status, void* user_data) {
  auto& op = *static_cast<Op*>(user_data);
  ucp_request_free(request);
  op.endpoint->advance(op, status);
}

void UcxEndpoint::on_received(void* request, ucs_status_t status, std::size_t, void* user_data) {
  auto& op = *static_cast<Op*>(user_data);
  ucp_request_free(request);
  op.endpoint->finish(op, status);
}

void UcxEndpoint::settle(Op& op, ucs_status_ptr_t request) {
  if (UCS_PTR_IS_PTR(request)) return;  // on_sent or on_received comes.
  advance(op, UCS_PTR_STATUS(request));
}

void UcxEndpoint::advance(Op& op, ucs_status_t status) {
  if (op.step == Op::Step::kWrite && status == UCS_OK && !link_->closed()) {
    // A put that is complete may still be on its way; after a flush the bytes are where they belong.
    op.step = Op::Step::kFlush;
    return settle(op, launch_access(op));
  }
  finish(op, status);
}

void UcxEndpoint::finish(Op& op, ucs_status_t status) {
  --in_flight_;
  if (op.rkey != nullptr) --op.rkey->uses;
  if (op.step == Op::Step::kReceive) {
    if (status == UCS_OK) op.held->state = Held::State::kReady;
    mark_busy();
  }
  if (op.step == Op::Step::kWireUp && status == UCS_OK && state_ == State::kWiring) {
    state_ = State::kOpen;
    mark_busy();
  }
  base::Error error;
  if (status != UCS_OK) error = ending() ? reason() : error_of("the transfer failed", status);
  if (op.completion != nullptr) {
    if (status == UCS_OK) {
      core_.completions.add(*op.completion, op.result_bytes);
    } else {
      core_.completions.add(*op.completion, error);
    }
  }
  release(op);
  // After a message that did not arrive, none after it can be delivered.
  const bool is_access = op.step == Op::Step::kRead || op.step == Op::Step::kWrite || op.step == Op::Step::kFlush;
  core_.ops.give_back(op);
  if (status != UCS_OK && !is_access) end({base::Code::kUnavailable, error.what});
}

void UcxEndpoint::release(const Op& op) {
  if (op.rendezvous) --rendezvous_;
  if (rendezvous_ != 0) {
    kept_charge_ += op.charge;
    return;
  }
  charged_ -= op.charge + std::exchange(kept_charge_, 0);
  if (wants_room_) mark_busy();
}

// --- Receiving --------------------------------------------------------------------------------------------

ucs_status_t UcxEndpoint::arrived(const Arrival& arrival) {
  const ucs_status_t refused = arrival.rendezvous ? UCS_ERR_REJECTED : UCS_OK;
  if (ending()) return refused;
  const auto* bytes = static_cast<const std::byte*>(arrival.data);
  if (!arrival.rendezvous && core_.may_deliver && state_ == State::kOpen && known_ &&
      reorder_.is_next(arrival.head.sequence)) {
    reorder_.advance();
    deliver(arrival.head, arrival.header, {bytes, arrival.payload_bytes});
    return UCS_OK;
  }
  Held* held = reorder_.hold(arrival.head, arrival.header.size(), arrival.payload_bytes);
  if (held == nullptr) {
    end({base::Code::kInvalid, "the peer sends more than the connection's window, or a message twice"});
    return refused;
  }
  if (!arrival.header.empty()) std::memcpy(held->header().data(), arrival.header.data(), arrival.header.size());
  if (!arrival.rendezvous) {
    if (arrival.payload_bytes != 0) std::memcpy(held->payload().data(), bytes, arrival.payload_bytes);
    ++core_.counters.reordered;
    mark_busy();
    return UCS_OK;
  }
  ++core_.counters.rendezvous;
  held->state = Held::State::kFilling;
  Op& op = core_.ops.take(*this, Op::Step::kReceive);
  op.held = held;
  ++in_flight_;
  settle(op, receive_by_rendezvous(op, arrival.data));
  return UCS_OK;
}

void UcxEndpoint::deliver_waiting() {
  if (!known_ && state_ == State::kOpen) {
    known_ = true;
    const InboxCall call(core_);
    core_.inbox.accepted(*this);
  }
  while (state_ == State::kOpen && reorder_.ready()) {
    std::unique_ptr<Held> held = reorder_.take();
    deliver(held->head, held->header(), held->payload());
    reorder_.give_back(std::move(held));
  }
}

void UcxEndpoint::deliver(const MessageHeader& head, ConstBytes header, ConstBytes payload) {
  if (head.kind != Kind::kMessage) return serve(head, header, payload);
  const InboxCall call(core_);
  core_.inbox.message(*this, head.type, header, payload);
}

// The peer's part of Transfers, and the answers to ours.
void UcxEndpoint::serve(const MessageHeader& head, ConstBytes header, ConstBytes payload) {
  const base::Error broken{base::Code::kInvalid, "the peer breaks the protocol of one-sided access"};
  const auto access = read_exactly<Access>(header);
  if (!access) return end(broken);
  if (head.kind == Kind::kReadDone || head.kind == Kind::kWriteDone) {
    if (!transfers_.answered(head.kind, head.type, *access, payload, core_.completions)) return end(broken);
    return transfers_.pump(*this);
  }
  const bool reads = head.kind == Kind::kRead;
  const bool fits = access->size <= kPieceBytes && payload.size() == (reads ? 0 : access->size);
  if (!fits || (!reads && head.kind != Kind::kWrite) || charged_ > 2 * limit_) return end(broken);
  const auto memory = core_.regions.find(*access);
  Outgoing answer;
  answer.head.kind = reads ? Kind::kReadDone : Kind::kWriteDone;
  answer.head.type = memory ? std::uint16_t{0} : static_cast<std::uint16_t>(memory.error().code);
  answer.header = base::object_bytes(*access);
  if (memory && reads) answer.payload = *memory;
  if (memory && !reads) std::memcpy(memory->data(), payload.data(), payload.size());
  post(answer);
}

// --- Beginning and end --------------------------------------------------------------------------------------

void UcxEndpoint::paired() {
  link_ = pairing_.link();
  state_ = State::kWiring;
  limit_ = std::min<std::size_t>(limit_, pairing_.hello().window_bytes);
  mark_busy();
}

// Flushing an endpoint on which nothing was sent ends when it is connected.
void UcxEndpoint::wire_up() {
  if (link_->closed()) return;
  launch(core_.ops.take(*this, Op::Step::kWireUp));
}

void UcxEndpoint::unpaired(const base::Error& why) {
  const bool refused = why.code == base::Code::kDenied || why.code == base::Code::kInvalid;
  hang_up({refused ? why.code : base::Code::kUnavailable, why.what});
}

void UcxEndpoint::hang_up(const base::Error& why) {
  if (!hung_up_) hung_up_ = why;
  mark_busy();
}

void UcxEndpoint::end(const base::Error& why) {
  if (ending()) return;
  state_ = State::kEnding;
  why_ = why;
  mark_busy();
}

void UcxEndpoint::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  mark_busy();
}

base::Error UcxEndpoint::reason() const {
  if (state_ == State::kClosed) return {base::Code::kCancelled, "the connection was closed"};
  return {base::Code::kUnavailable, why_.what};
}

void UcxEndpoint::dispatch() {
  busy_ = false;
  if (state_ == State::kWiring && in_flight_ == 0) wire_up();
  if (state_ == State::kOpen) {
    while (!pending_.empty() && state_ == State::kOpen) {
      Op& op = *pending_.front();
      pending_.pop_front();
      launch(op);
    }
    transfers_.pump(*this);
  }
  deliver_waiting();
  if (hung_up_) end(*hung_up_);
  if (ending()) {
    wind_down();
  } else if (wants_room_ && charged_ <= limit_ / 2) {
    wants_room_ = false;
    const InboxCall call(core_);
    core_.inbox.writable(*this);
  }
}

void UcxEndpoint::wind_down() {
  if (wound_down_) return;
  wound_down_ = true;
  pairing_.close();  // Closes the link by force when nobody else uses it.
  for (Op* op : std::exchange(pending_, {})) {
    if (op->completion != nullptr) core_.completions.add(*op->completion, reason());
    core_.ops.give_back(*op);
  }
  transfers_.fail(reason(), core_.completions);
}

void UcxEndpoint::mark_busy() {
  if (std::exchange(busy_, true)) return;
  core_.busy.push_back(this);
}

}  // namespace mobula::transport::ucx
