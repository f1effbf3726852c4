#include "transport/sock/channel.h"

#include <array>
#include <cerrno>
#include <utility>

#include "core/os/socket.h"
#include "transport/sock/address.h"
#include "transport/sock/frame_queue.h"
#include "transport/sock/frame_reader.h"

namespace mobula::transport::sock {
namespace {

constexpr std::size_t kReadBudgetBytes = 1u << 20;  // A callback of one channel, so that others get theirs.

base::Error closed_error() { return {base::Code::kUnavailable, "the channel is closed"}; }

std::unique_ptr<crypto::FrameSeal> seal_for(bool sealed, const Key& key) {
  return sealed ? std::make_unique<crypto::FrameSeal>(key) : nullptr;
}

}  // namespace

// The channel's state.  A callback may destroy the channel, so each path that calls one holds the state
// alive and looks at open_ after it.
class ChannelState final : public std::enable_shared_from_this<ChannelState> {
 public:
  ChannelState(os::EventLoop& loop, std::unique_ptr<SocketStream> stream, bool tcp, std::size_t queue_bytes_max)
      : loop_(loop), stream_(std::move(stream)), tcp_(tcp), queue_bytes_max_(queue_bytes_max) {}

  void connect(const ChannelOptions& options, Channel::Callbacks callbacks) {
    credentials_ = options.credentials;
    callbacks_ = std::move(callbacks);
    greeting_.emplace(Handshake::Role::kClient, credentials_, *stream_);
    watch();
    stream_->set_deadline(options.handshake_timeout, [self = weak_from_this()] {
      if (const auto state = self.lock()) {
        state->end({base::Code::kDeadline, "the peer did not answer the handshake in time"});
      }
    });
    if (!tcp_) {
      const base::Result<os::PeerCredentials> peer = os::peer_credentials(stream_->socket());
      if (peer.ok()) pid_ = peer->pid;
    }
  }

  void adopt(PeerIdentity peer, const DirectionKeys& keys, pid_t pid) {
    pid_ = pid;
    open(std::move(peer), keys);
  }

  void set(Channel::Callbacks callbacks) {
    callbacks_ = std::move(callbacks);
    watch();
  }

  Result<void> send(std::uint16_t type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
                    std::span<const int> fds);
  void close() {  // No callback runs after this.
    open_ = false;
    stream_.reset();
    queue_.clear();
    crypto::wipe(credentials_.key);
  }

  const PeerIdentity& peer() const { return peer_; }
  pid_t pid() const { return pid_; }
  bool is_ready() const { return open_ && ready_; }
  std::size_t queued_bytes() const { return queue_.bytes() + early_bytes_; }

 private:
  struct Early {  // Sent before the handshake is done; sealed when it is.
    ChannelHeader header;
    std::vector<std::byte> payload;
    std::vector<os::Fd> fds;
  };

  void watch() {
    const auto on = [self = weak_from_this()](void (ChannelState::*event)()) {
      return [self, event] {
        if (const auto state = self.lock(); state && state->open_) (state.get()->*event)();
      };
    };
    stream_->set({on(&ChannelState::on_readable), on(&ChannelState::on_writable)});
  }

  void open(PeerIdentity peer, const DirectionKeys& keys) {
    peer_ = std::move(peer);
    ready_ = true;
    send_seal_ = seal_for(tcp_, keys.send);
    reader_.emplace(seal_for(tcp_, keys.receive));
    for (Early& early : early_) enqueue(early.header, early.payload, std::move(early.fds));
    early_.clear();
    early_bytes_ = 0;
  }

  void greet();
  void on_readable();
  void on_writable() { greeting_ ? greet() : flush(); }
  void enqueue(const ChannelHeader& header, ConstBytes payload, std::vector<os::Fd> fds);
  void flush();
  void end(base::Error why);
  void end_soon(base::Error why);
  bool take(Frame&& frame) {
    if (callbacks_.frame) callbacks_.frame(std::move(frame));
    return open_;
  }

  os::EventLoop& loop_;
  std::unique_ptr<SocketStream> stream_;
  const bool tcp_;
  const std::size_t queue_bytes_max_;
  Credentials credentials_;  // While greeting.
  std::optional<stream::Greeting> greeting_;
  Channel::Callbacks callbacks_;
  PeerIdentity peer_;
  pid_t pid_ = 0;
  bool open_ = true;  // Not closed, by either side.
  bool ready_ = false;
  bool failing_ = false;
  std::unique_ptr<crypto::FrameSeal> send_seal_;
  std::optional<FrameReader> reader_;
  FrameQueue queue_;
  std::vector<Early> early_;
  std::size_t early_bytes_ = 0;
};

Result<void> ChannelState::send(std::uint16_t type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
                                std::span<const int> fds) {
  if (!open_ || failing_) return closed_error();
  if (payload.size() > kFrameBytesMax || fds.size() > kFrameFdsMax || (tcp_ && !fds.empty()) || flags > kUserFlags) {
    return base::Error{base::Code::kInvalid, "a frame of " + std::to_string(payload.size()) + " bytes with " +
                                                 std::to_string(fds.size()) + " descriptors cannot be sent"};
  }
  const std::size_t waiting = queued_bytes();
  if (waiting != 0 && waiting + payload.size() > queue_bytes_max_) {
    return base::Error{base::Code::kExhausted, std::to_string(waiting) + " bytes wait on this channel"};
  }
  std::vector<os::Fd> own;
  for (const int fd : fds) {
    os::Fd borrowed(fd);
    own.push_back(borrowed.duplicate());
    static_cast<void>(borrowed.release());
    if (!own.back().valid()) return base::Error{base::Code::kExhausted, "no descriptor left to send another"};
  }
  ChannelHeader header;
  header.payload_bytes = static_cast<std::uint32_t>(payload.size());
  header.type = type;
  header.flags = static_cast<std::uint16_t>(flags | (fds.size() << kFdCountShift));
  header.request = request;
  if (!ready_) {
    early_.push_back({header, {payload.begin(), payload.end()}, std::move(own)});
    early_bytes_ += sizeof header + payload.size();
    return {};
  }
  const bool idle = queue_.empty();
  enqueue(header, payload, std::move(own));
  if (idle) flush();
  return {};
}

void ChannelState::enqueue(const ChannelHeader& header, ConstBytes payload, std::vector<os::Fd> fds) {
  if (!send_seal_) return queue_.add(header, payload, nullptr, std::move(fds));
  const crypto::Tag tag = send_seal_->next(base::object_bytes(header), payload);
  queue_.add(header, payload, &tag, std::move(fds));
}

// Called by send(), too: tells of an end only from the loop.
void ChannelState::flush() {
  while (!queue_.empty()) {
    const Result<std::size_t> sent = os::send_some(stream_->socket(), queue_.next(), queue_.next_fds());
    if (sent.ok()) {
      queue_.sent(*sent);
    } else if (sent.error().code == base::Code::kUnavailable) {
      break;
    } else {
      // What the peer said before it went can still be read, and then its end.
      if (sent.error().code != base::Code::kLost) end_soon(sent.error());
      failing_ = true;
      queue_.clear();
    }
  }
  stream_->want_writable(!queue_.empty());
}

void ChannelState::greet() {
  const auto self = shared_from_this();
  switch (greeting_->drive()) {
    case stream::Greeting::State::kGoing: return;
    case stream::Greeting::State::kFailed: return end(greeting_->why());
    case stream::Greeting::State::kDone: break;
  }
  stream_->clear_deadline();
  open(greeting_->proof().peer(), greeting_->proof().keys());
  greeting_.reset();
  crypto::wipe(credentials_.key);
  if (callbacks_.ready) callbacks_.ready();
  if (open_) flush();
}

void ChannelState::on_readable() {
  if (greeting_) return greet();
  const auto self = shared_from_this();
  for (std::size_t read = 0; open_ && read < kReadBudgetBytes;) {
    const Bytes room = reader_->room();
    std::vector<os::Fd> fds;
    const Result<std::size_t> n = os::receive_some(stream_->socket(), room, tcp_ ? nullptr : &fds);
    if (!n.ok() && n.error().code == base::Code::kUnavailable) return;
    if (!n.ok()) return end({base::Code::kUnavailable, n.error().what});
    if (*n == 0) return end({base::Code::kUnavailable, "the peer closed the channel"});
    read += *n;
    const Result<void> parsed =
        reader_->received(*n, std::move(fds), [this](Frame&& frame) { return take(std::move(frame)); });
    if (!open_) return;
    if (!parsed.ok()) return end(parsed.error());
    if (*n < room.size()) return;
  }
}

void ChannelState::end(base::Error why) {
  if (!open_) return;
  const auto self = shared_from_this();
  close();
  if (callbacks_.closed) callbacks_.closed(why);
}

void ChannelState::end_soon(base::Error why) {
  why.code = base::Code::kUnavailable;
  loop_.post([self = weak_from_this(), why = std::move(why)] {
    if (const auto state = self.lock()) state->end(why);
  });
}

namespace {

class SocketChannel final : public Channel {
 public:
  explicit SocketChannel(std::shared_ptr<ChannelState> state) : state_(std::move(state)) {}
  ~SocketChannel() override { state_->close(); }

  Result<void> send(std::uint16_t type, std::uint16_t flags, std::uint64_t request, ConstBytes payload,
                    std::span<const int> fds) override {
    return state_->send(type, flags, request, payload, fds);
  }
  const PeerIdentity& peer() const override { return state_->peer(); }
  pid_t peer_pid() const override { return state_->pid(); }
  bool is_ready() const override { return state_->is_ready(); }
  std::size_t queued_bytes() const override { return state_->queued_bytes(); }

 private:
  std::shared_ptr<ChannelState> state_;
};

}  // namespace

AcceptedChannel make_channel(os::EventLoop& loop, Acceptor::Proven&& proven, bool tcp, std::size_t queue_bytes_max) {
  auto state = std::make_shared<ChannelState>(loop, std::move(proven.stream), tcp, queue_bytes_max);
  state->adopt(std::move(proven.peer), proven.keys, proven.pid);
  auto set = [weak = std::weak_ptr(state)](Channel::Callbacks callbacks) {
    if (const auto alive = weak.lock()) alive->set(std::move(callbacks));
  };
  return {std::make_unique<SocketChannel>(std::move(state)), std::move(set)};
}

}  // namespace mobula::transport::sock

namespace mobula::transport {

Result<std::unique_ptr<Channel>> connect_channel(os::EventLoop& loop, const std::string& address,
                                                 const ChannelOptions& options, Channel::Callbacks callbacks) {
  const Result<sock::SocketAddress> where = sock::SocketAddress::parse(address);
  if (!where.ok()) return where.error();
  Result<os::Fd> socket = sock::connect_to(*where);
  if (!socket.ok()) return socket.error();
  auto state =
      std::make_shared<sock::ChannelState>(loop, std::make_unique<sock::SocketStream>(loop, std::move(*socket)),
                                           where->family == sock::SocketAddress::Family::kTcp, options.queue_bytes_max);
  state->connect(options, std::move(callbacks));
  return std::unique_ptr<Channel>(std::make_unique<sock::SocketChannel>(std::move(state)));
}

}  // namespace mobula::transport
