#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <google/protobuf/message_lite.h>

#include "core/base/bytes.h"
#include "core/base/machine.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/os/fd.h"
#include "transport/channel.h"

namespace mobula::rpc {

using base::ConstBytes;
using base::Duration;
using base::Error;
using base::Result;

// For requests that another rule ends: the close of the channel, or the asker's own deadline.
inline constexpr Duration kNoDeadline = Duration::max();

struct Message {
  ConstBytes payload;       // Lives until the callback returns.
  std::vector<os::Fd> fds;  // The receiver's from now on.
};

// The duty to answer one request.  Copies share it; the first answer counts, and a request that every copy
// forgot is answered with kAborted, so that no asker waits for nothing.  Harmless when the channel has gone.
class Responder {
 public:
  Responder();  // Answers nobody: notifications.

  bool wanted() const;  // False for notifications.
  void reply(ConstBytes payload, std::span<const int> fds = {}) const;
  void reply(const google::protobuf::MessageLite& message, std::span<const int> fds = {}) const;
  void fail(const Error& error) const;

 private:
  friend class Rpc;
  struct Duty;
  explicit Responder(std::shared_ptr<Duty> duty);
  std::shared_ptr<Duty> duty_;
};

// Requests, replies and notifications over one Channel.
//
// Belongs to the thread of its loop.  Every callback runs from the loop, never inside the call that registered it,
// and may destroy the Rpc.  Destroying it closes the channel and drops pending calls without a word; when the channel
// closes by itself they end with kUnavailable first, then `closed` is told.
class Rpc {
 public:
  using OnReply = std::function<void(Result<Message>)>;
  using Handler = std::function<void(Message&& request, Responder responder)>;
  using FallbackHandler = std::function<void(proto::MessageType type, Message&& request, Responder responder)>;
  struct Events {
    std::function<void()> ready;               // The handshake is done.  Not told of accepted channels.
    std::function<void(const Error&)> closed;  // Once, last.
  };

  // Requests may be made at once; they leave after the handshake.
  static Result<std::unique_ptr<Rpc>> connect(os::EventLoop& loop, const std::string& address,
                                              const transport::ChannelOptions& options, Events events);
  // Takes what a Listener hands over.
  static std::unique_ptr<Rpc> accept(os::EventLoop& loop, std::unique_ptr<transport::Channel> channel,
                                     const std::function<void(transport::Channel::Callbacks)>& set, Events events);
  ~Rpc();
  Rpc(const Rpc&) = delete;
  Rpc& operator=(const Rpc&) = delete;

  // Ends with the reply, the peer's error, kDeadline after `timeout` (a later reply is dropped), kExhausted when the
  // channel's queue is full, or kUnavailable.
  void call(proto::MessageType type, ConstBytes payload, Duration timeout, OnReply done, std::span<const int> fds = {});
  void call(proto::MessageType type, const google::protobuf::MessageLite& request, Duration timeout, OnReply done,
            std::span<const int> fds = {});
  // The same with a parsed reply: `done` takes a Result<Reply>.  A reply that does not parse is kInvalid.
  template <class Reply, class Done>
  requires std::is_invocable_v<Done&, Result<Reply>>
  void ask(proto::MessageType type, const google::protobuf::MessageLite& request, Duration timeout, Done done) {
    call(type, request, timeout, [done = std::move(done)](Result<Message> raw) mutable {
      if (!raw) return done(Result<Reply>(raw.error()));
      Reply reply;
      if (!parse(raw->payload, reply)) return done(Result<Reply>(malformed()));
      done(Result<Reply>(std::move(reply)));
    });
  }

  // Sends without asking for an answer.
  Result<void> notify(proto::MessageType type, ConstBytes payload, std::span<const int> fds = {});
  Result<void> notify(proto::MessageType type, const google::protobuf::MessageLite& message,
                      std::span<const int> fds = {});

  // What to do with requests and notifications of `type`.  A type without handler goes to the fallback; without one,
  // requests are answered with kInvalid and notifications dropped.
  void serve(proto::MessageType type, Handler handler);
  // The same with a parsed request; one that does not parse is answered with kInvalid.
  template <class Request, class Handle>
  requires std::is_invocable_v<Handle&, Request&&, Responder>
  void on(proto::MessageType type, Handle handle) {
    serve(type, [handle = std::move(handle)](Message&& raw, Responder responder) mutable {
      Request request;
      if (!parse(raw.payload, request)) return responder.fail(malformed());
      handle(std::move(request), std::move(responder));
    });
  }
  void serve_others(FallbackHandler handler);
  void on_closed(std::function<void(const Error&)> closed);  // Instead of Events::closed.

  bool is_open() const;
  const transport::PeerIdentity& peer() const;  // REQUIRES: the handshake is done.
  pid_t peer_pid() const;                       // 0 over TCP or when closed.
  std::size_t queued_bytes() const;
  std::size_t pending_calls() const;

  static bool parse(ConstBytes payload, google::protobuf::MessageLite& into);
  static Error malformed();

 private:
  friend class Responder;
  struct State;
  explicit Rpc(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace mobula::rpc
