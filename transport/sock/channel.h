#pragma once

#include <functional>
#include <memory>

#include "transport/channel.h"
#include "transport/sock/acceptor.h"

namespace mobula::transport::sock {

struct AcceptedChannel {
  std::unique_ptr<Channel> channel;
  std::function<void(Channel::Callbacks)> set;  // Nothing is read before it is called.
};

// A channel over a connection whose peer has proved itself.
AcceptedChannel make_channel(os::EventLoop& loop, Acceptor::Proven&& proven, bool tcp, std::size_t queue_bytes_max);

}  // namespace mobula::transport::sock
