#include "transport/ofi/pairing.h"

#include <utility>

namespace mobula::transport::ofi {

Channel::Callbacks Pairing::callbacks() {
  Channel::Callbacks out;
  out.ready = [this] { begin(); };
  out.frame = [this](Frame&& frame) { take(frame); };
  out.closed = [this](const base::Error& why) { fail(why); };
  return out;
}

Result<void> Pairing::connect(os::EventLoop& loop, const std::string& address, const Credentials& credentials) {
  ChannelOptions options;
  options.credentials = credentials;
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
  if (auto sent = channel_->send(kHelloFrame, 0, 0, encode(ours_).view()); !sent) fail(sent.error());
}

void Pairing::take(const Frame& frame) {
  if (over_) return;
  if (frame.type != kHelloFrame || hello_) {
    return fail({base::Code::kInvalid, "the peer breaks the ofi transport's protocol: an unexpected frame"});
  }
  auto hello = decode_hello(frame.payload);
  if (!hello) return fail(hello.error());
  if (hello->provider != ours_.provider) {
    return fail({base::Code::kInvalid, "the peer uses libfabric's provider " + hello->provider + ", we use " +
                                           ours_.provider + ": set MOBULA_OFI_PROVIDER alike on all nodes"});
  }
  hello_ = *std::move(hello);
  owner_.paired();
}

void Pairing::fail(const base::Error& why) {
  if (over_) return;
  over_ = true;
  owner_.unpaired(why);
}

void Pairing::close() {
  over_ = true;
  channel_.reset();
}

}  // namespace mobula::transport::ofi
