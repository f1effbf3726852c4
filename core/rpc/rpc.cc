#include "core/rpc/rpc.h"

#include <algorithm>
#include <climits>
#include <unordered_map>

#include "core/base/limits.h"

namespace mobula::rpc {
namespace {

using base::Code;

std::string serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  message.SerializeToString(&bytes);
  return bytes;
}

std::string encode_error(const Error& error) {
  std::string bytes(1, static_cast<char>(error.code));
  bytes.append(error.what, 0, base::kErrorStringBytesMax);
  return bytes;
}

Error decode_error(ConstBytes payload) {
  base::Cursor cursor(payload);
  const auto code = cursor.get<std::uint8_t>();
  const bool known = cursor.ok() && code >= static_cast<std::uint8_t>(Code::kInvalid) &&
                     code <= static_cast<std::uint8_t>(Code::kDenied);
  if (!known) return Rpc::malformed();
  const auto text = cursor.take(std::min(cursor.left(), base::kErrorStringBytesMax));
  return {static_cast<Code>(code), std::string(base::as_string_view(text))};
}

}  // namespace

struct Rpc::State : std::enable_shared_from_this<Rpc::State> {
  struct Pending {
    OnReply done;
    os::EventLoop::Id timer = 0;
  };

  explicit State(os::EventLoop& event_loop) : loop(event_loop) {}

  os::EventLoop& loop;
  std::unique_ptr<transport::Channel> channel;
  Events events;
  std::unordered_map<int, Handler> handlers;
  FallbackHandler fallback;
  std::unordered_map<std::uint64_t, Pending> pending;
  std::uint64_t next_request = 1;  // 0 is a notification's.
  bool open = true;

  transport::Channel::Callbacks callbacks();
  Result<void> send(int type, std::uint16_t flags, std::uint64_t request, ConstBytes payload, std::span<const int> fds);
  void frame(transport::Frame&& frame);
  void replied(transport::Frame&& frame);
  void finish(std::uint64_t request, Result<Message> result);
  void closed(const Error& why);
};

struct Responder::Duty {
  std::weak_ptr<Rpc::State> to;
  proto::MessageType type{};
  std::uint64_t request = 0;

  void answer(std::uint16_t flags, ConstBytes payload, std::span<const int> fds) {
    const std::uint64_t id = std::exchange(request, 0);
    if (id == 0) return;
    if (const auto state = to.lock()) {
      // Without a receiver there is nobody to tell; a full queue ends in the asker's deadline.
      (void)state->send(type, flags, id, payload, fds);
    }
  }
  void fail(const Error& error) {
    answer(transport::kFlagReply | transport::kFlagError, base::as_bytes(encode_error(error)), {});
  }
  ~Duty() {
    if (request != 0) fail({Code::kAborted, "the request was given up without an answer"});
  }
};

Responder::Responder() = default;
Responder::Responder(std::shared_ptr<Duty> duty) : duty_(std::move(duty)) {}
bool Responder::wanted() const { return duty_ != nullptr && duty_->request != 0; }
void Responder::reply(ConstBytes payload, std::span<const int> fds) const {
  if (duty_ != nullptr) duty_->answer(transport::kFlagReply, payload, fds);
}
void Responder::reply(const google::protobuf::MessageLite& message, std::span<const int> fds) const {
  if (wanted()) reply(base::as_bytes(serialize(message)), fds);
}
void Responder::fail(const Error& error) const {
  if (duty_ != nullptr) duty_->fail(error);
}

transport::Channel::Callbacks Rpc::State::callbacks() {
  const std::weak_ptr<State> weak = weak_from_this();
  return {
      .ready =
          [weak] {
            const auto state = weak.lock();
            if (state != nullptr && state->events.ready) state->events.ready();
          },
      .frame =
          [weak](transport::Frame&& frame) {
            if (const auto state = weak.lock()) state->frame(std::move(frame));
          },
      .closed =
          [weak](const Error& why) {
            if (const auto state = weak.lock()) state->closed(why);
          },
  };
}

Result<void> Rpc::State::send(int type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
                              std::span<const int> fds) {
  if (!open || channel == nullptr) return Error{Code::kUnavailable, "the channel is closed"};
  return channel->send(static_cast<std::uint16_t>(type), flags, request, payload, fds);
}

// A handler may destroy the Rpc: nothing of it is touched after the call but this state, which the caller holds.
void Rpc::State::frame(transport::Frame&& frame) {
  if ((frame.flags & transport::kFlagReply) != 0) return replied(std::move(frame));
  const auto type = static_cast<proto::MessageType>(frame.type);
  Responder responder;
  if (frame.request != 0) {
    auto duty = std::make_shared<Responder::Duty>();
    duty->to = weak_from_this();
    duty->type = type;
    duty->request = frame.request;
    responder = Responder(std::move(duty));
  }
  Message message{frame.payload, std::move(frame.fds)};
  const auto it = handlers.find(frame.type);
  if (it != handlers.end()) {
    const Handler handler = it->second;  // A copy: the handler may be replaced by itself.
    handler(std::move(message), std::move(responder));
  } else if (fallback) {
    const FallbackHandler handler = fallback;
    handler(type, std::move(message), std::move(responder));
  } else {
    responder.fail({Code::kInvalid, "no handler for messages of type " + std::to_string(frame.type)});
  }
}

void Rpc::State::replied(transport::Frame&& frame) {
  if ((frame.flags & transport::kFlagError) != 0) return finish(frame.request, decode_error(frame.payload));
  finish(frame.request, Message{frame.payload, std::move(frame.fds)});
}

void Rpc::State::finish(std::uint64_t request, Result<Message> result) {
  auto found = pending.extract(request);
  if (found.empty()) return;  // It came after the deadline.
  if (found.mapped().timer != 0) loop.cancel(found.mapped().timer);
  found.mapped().done(std::move(result));
}

void Rpc::State::closed(const Error& why) {
  open = false;
  const auto self = shared_from_this();
  const Error error{Code::kUnavailable, why.what};
  while (!pending.empty()) finish(pending.begin()->first, error);
  // Taken out first: whoever is told may destroy the Rpc, which ends this function's right to speak.
  const auto tell = std::exchange(events.closed, nullptr);
  if (tell) tell(why);
}

Result<std::unique_ptr<Rpc>> Rpc::connect(os::EventLoop& loop, const std::string& address,
                                          const transport::ChannelOptions& options, Events events) {
  auto state = std::make_shared<State>(loop);
  state->events = std::move(events);
  auto channel = transport::connect_channel(loop, address, options, state->callbacks());
  if (!channel) return channel.error();
  state->channel = std::move(*channel);
  return std::unique_ptr<Rpc>(new Rpc(std::move(state)));
}

std::unique_ptr<Rpc> Rpc::accept(os::EventLoop& loop, std::unique_ptr<transport::Channel> channel,
                                 const std::function<void(transport::Channel::Callbacks)>& set, Events events) {
  auto state = std::make_shared<State>(loop);
  state->events = std::move(events);
  state->channel = std::move(channel);
  set(state->callbacks());
  return std::unique_ptr<Rpc>(new Rpc(std::move(state)));
}

Rpc::Rpc(std::shared_ptr<State> state) : state_(std::move(state)) {}

Rpc::~Rpc() {
  state_->open = false;
  state_->events = {};
  auto dropped = std::move(state_->pending);
  state_->pending.clear();
  for (auto& [request, call] : dropped) {
    if (call.timer != 0) state_->loop.cancel(call.timer);
  }
  state_->channel.reset();
}

void Rpc::call(proto::MessageType type, ConstBytes payload, Duration timeout, OnReply done, std::span<const int> fds) {
  State& state = *state_;
  const std::uint64_t request = state.next_request++;
  State::Pending& call = state.pending[request];
  call.done = std::move(done);
  const std::weak_ptr<State> weak = state_;
  const auto sent = state.send(type, 0, request, payload, fds);
  if (!sent) {
    state.loop.post([weak, request, error = sent.error()] {
      if (const auto alive = weak.lock()) alive->finish(request, error);
    });
    return;
  }
  if (timeout == kNoDeadline) return;
  call.timer = state.loop.after(timeout, [weak, request, type] {
    const auto alive = weak.lock();
    if (alive == nullptr) return;
    alive->finish(request, Error{Code::kDeadline, "no answer in time to " + proto::MessageType_Name(type)});
  });
}

void Rpc::call(proto::MessageType type, const google::protobuf::MessageLite& request, Duration timeout, OnReply done,
               std::span<const int> fds) {
  call(type, base::as_bytes(serialize(request)), timeout, std::move(done), fds);
}

Result<void> Rpc::notify(proto::MessageType type, ConstBytes payload, std::span<const int> fds) {
  return state_->send(type, 0, 0, payload, fds);
}

Result<void> Rpc::notify(proto::MessageType type, const google::protobuf::MessageLite& message,
                         std::span<const int> fds) {
  return notify(type, base::as_bytes(serialize(message)), fds);
}

void Rpc::serve(proto::MessageType type, Handler handler) { state_->handlers[type] = std::move(handler); }
void Rpc::on_closed(std::function<void(const Error&)> closed) { state_->events.closed = std::move(closed); }
void Rpc::serve_others(FallbackHandler handler) { state_->fallback = std::move(handler); }

bool Rpc::is_open() const { return state_->open; }
const transport::PeerIdentity& Rpc::peer() const { return state_->channel->peer(); }
pid_t Rpc::peer_pid() const { return state_->open ? state_->channel->peer_pid() : 0; }
std::size_t Rpc::queued_bytes() const { return state_->open ? state_->channel->queued_bytes() : 0; }
std::size_t Rpc::pending_calls() const { return state_->pending.size(); }

bool Rpc::parse(ConstBytes payload, google::protobuf::MessageLite& into) {
  return payload.size() <= INT_MAX && into.ParseFromArray(payload.data(), static_cast<int>(payload.size()));
}

Error Rpc::malformed() { return {Code::kInvalid, "the message does not parse"}; }

}  // namespace mobula::rpc
