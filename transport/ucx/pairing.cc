#include "transport/ucx/pairing.h"

#include <utility>

namespace mobula::transport::ucx {
namespace {

base::Error broken(const char* how) {
  return {base::Code::kInvalid, std::string("the peer breaks the UCX transport's protocol: ") + how};
}

}  // namespace

Pairing::Pairing(Core& core, Role role, const Identity& identity, Owner& owner)
    : core_(core), role_(role), identity_(identity), owner_(owner) {}

Pairing::~Pairing() { close(); }

Channel::Callbacks Pairing::callbacks() {
  Channel::Callbacks out;
  out.ready = [this] { begin(); };
  out.frame = [this](Frame&& frame) { take(frame); };
  out.closed = [this](const base::Error& why) { fail(why); };
  return out;
}

Result<void> Pairing::connect(os::EventLoop& loop, const std::string& address) {
  ChannelOptions options;
  options.credentials = core_.options.credentials;
  auto channel = connect_channel(loop, address, options, callbacks());
  if (!channel) return channel.error();
  channel_ = std::move(*channel);
  return {};
}

void Pairing::adopt(std::unique_ptr<Channel> channel, const std::function<void(Channel::Callbacks)>& set) {
  channel_ = std::move(channel);
  set(callbacks());
  begin();
}

void Pairing::begin() {
  if (over_) return;
  peer_ = channel_->peer();
  Hello hello;
  hello.instance = core_.instance;
  hello.cookie = identity_.cookie;
  hello.slot = identity_.slot;
  hello.window_bytes = core_.options.queue_bytes_max;
  hello.address = core_.ucx_address;
  if (auto sent = send(FrameType::kHello, encode(hello).view()); !sent) fail(sent.error());
}

void Pairing::take(const Frame& frame) {
  if (over_) return;
  Result<void> taken = broken("a frame of an unknown type");
  if (frame.type == static_cast<std::uint16_t>(FrameType::kHello)) taken = take_hello(frame.payload);
  if (frame.type == static_cast<std::uint16_t>(FrameType::kAttach)) taken = take_attach(frame.payload);
  if (!taken) fail(taken.error());
}

Result<void> Pairing::take_hello(ConstBytes payload) {
  if (hello_) return broken("a second greeting");
  auto hello = decode_hello(payload);
  if (!hello) return hello.error();
  hello_ = *std::move(hello);
  if (role_ == Role::kAcceptor) return {};
  if (auto joined = join_link(); !joined) return joined;
  const Attach attach{link_->id(), link_->peer_id()};
  return send(FrameType::kAttach, base::object_bytes(attach));
}

Result<void> Pairing::take_attach(ConstBytes payload) {
  const auto attach = read_exactly<Attach>(payload);
  if (!attach || attach->mine == 0) return broken("a malformed attach");
  if (!hello_) return broken("an attach before the greeting");
  if (paired_) return broken("an attach to a connection that is attached");
  if (++rounds_ > kRoundsMax) {
    return base::Error{base::Code::kUnavailable, "the peer keeps replacing its link; connect again"};
  }
  return role_ == Role::kConnector ? agree_as_connector(*attach) : agree_as_acceptor(*attach);
}

Result<void> Pairing::agree_as_connector(const Attach& attach) {
  const bool agreed =
      !link_->closed() && attach.yours == link_->id() && (link_->peer_id() == 0 || link_->peer_id() == attach.mine);
  if (agreed) return finish(attach.mine);
  // The peer knows nothing of our link: it has dropped its half, and the end of its other connections is on its
  // way to us.
  core_.links.give_up(*link_);
  leave_link();
  if (auto joined = join_link(); !joined) return joined;
  const Attach again{link_->id(), attach.mine};
  return send(FrameType::kAttach, base::object_bytes(again));
}

Result<void> Pairing::agree_as_acceptor(const Attach& attach) {
  if (link_ != nullptr && link_->closed()) leave_link();
  if (link_ == nullptr) {
    if (auto joined = join_link(); !joined) return joined;
  }
  if (attach.yours != 0 && attach.yours != link_->id()) {
    const Attach answer{link_->id(), 0};
    return send(FrameType::kAttach, base::object_bytes(answer));
  }
  if (link_->peer_id() != 0 && link_->peer_id() != attach.mine) {
    core_.links.give_up(*link_);
    leave_link();
    if (auto joined = join_link(); !joined) return joined;
  }
  const Attach answer{link_->id(), attach.mine};
  if (auto sent = send(FrameType::kAttach, base::object_bytes(answer)); !sent) return sent;
  return finish(attach.mine);
}

Result<void> Pairing::finish(std::uint64_t peer_link) {
  link_->set_peer_id(peer_link);
  paired_ = true;
  owner_.paired();
  return {};
}

Result<void> Pairing::join_link() {
  auto link = core_.links.link_to(core_.ucp, *hello_);
  if (!link) return link.error();
  link_ = *std::move(link);
  link_->join();
  return {};
}

void Pairing::leave_link() {
  if (link_ == nullptr) return;
  link_->leave();
  link_.reset();
}

Result<void> Pairing::send(FrameType type, ConstBytes payload) {
  return channel_->send(static_cast<std::uint16_t>(type), 0, 0, payload);
}

void Pairing::fail(const base::Error& why) {
  if (over_) return;
  over_ = true;
  owner_.unpaired(why);
}

void Pairing::close() {
  over_ = true;
  channel_.reset();
  leave_link();
}

}  // namespace mobula::transport::ucx
