#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"
#include "transport/channel.h"

namespace mobula::raylet {

// The raylet's doors.  A connection that has proved itself must say at once who it is: REGISTER or PEER_HELLO; anything
// else is refused, and silence closes it.
class Admission {
 public:
  struct Ports {
    std::function<void(std::unique_ptr<rpc::Rpc>, proto::Register&&, rpc::Responder)> process;
    std::function<void(std::unique_ptr<rpc::Rpc>, proto::PeerHello&&, const rpc::Responder&)> peer;
  };
  Admission(os::EventLoop& loop, transport::ChannelOptions channel, Ports ports)
      : loop_(loop), channel_(std::move(channel)), ports_(std::move(ports)) {}

  base::Result<std::string> listen_unix(const std::string& path);  // The address.
  base::Result<std::string> listen_tcp(const std::string& interface);
  std::uint64_t refused() const;
  void close() { listeners_.clear(); }

 private:
  void arrived(std::unique_ptr<transport::Channel> channel,
               const std::function<void(transport::Channel::Callbacks)>& set);
  std::unique_ptr<rpc::Rpc> take(std::uint64_t number);

  struct Waiting {
    std::unique_ptr<rpc::Rpc> rpc;
    os::EventLoop::Id timer = 0;
  };
  os::EventLoop& loop_;
  const transport::ChannelOptions channel_;
  const Ports ports_;
  std::map<std::uint64_t, Waiting> waiting_;
  std::uint64_t next_ = 1;
  std::vector<std::unique_ptr<transport::Listener>> listeners_;
};

}  // namespace mobula::raylet
