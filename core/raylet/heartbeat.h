#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/base/machine.h"
#include "core/base/proto/control.pb.h"
#include "core/os/event_loop.h"
#include "transport/channel.h"

namespace mobula::raylet {

struct HeartbeatOptions {
  std::string gcs_address;
  transport::ChannelOptions channel;
  proto::Heartbeat self;  // Ids; the rest is filled in from status().
  base::Duration every = std::chrono::milliseconds(250);
  base::Duration silence =
      std::chrono::milliseconds(4500);                // Of the GCS, after which it is gone: a cut sends no close.
  int life_fd = -1;                                   // A pidfd of the process that this node belongs to; -1: none.
  base::Duration patience = std::chrono::seconds(4);  // For the main loop to end the process, once it must.
};

// The node's heartbeats, on a thread of their own with a channel of their own, so that nothing that the main loop does
// can make the node look dead.  The same thread watches over the end: when the GCS or the process that the node belongs
// to is gone and the main loop has not ended the raylet in time, it ends it.
class Heartbeat {
 public:
  // Called on the main loop.
  struct Events {
    std::function<void(const proto::HeartbeatReply&)> reply;
    std::function<void(const std::string& why)> must_end;  // Once.
  };
  Heartbeat(os::EventLoop& main_loop, HeartbeatOptions options, Events events);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

  // What the next beats say; a change of availability is sent at once.  The main loop's.
  void set_status(const proto::Heartbeat& status);

 private:
  class Beater;
  os::EventLoop& main_loop_;
  os::EventLoop loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // The main loop's.
  std::unique_ptr<Beater> beater_;                              // The thread's, but for its making and its end.
  std::thread thread_;
};

}  // namespace mobula::raylet
