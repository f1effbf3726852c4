#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/os/event_loop.h"
#include "transport/channel.h"
#include "transport/ofi/wire.h"

namespace mobula::transport::ofi {

// How two workers that may not trust the network learn each other's addresses and cookies: an authenticated channel,
// and a Hello each way.  The channel stays open; its end is how a peer's death or goodbye is known.
class Pairing {
 public:
  // Told from the channel's loop; must not destroy the pairing there.
  class Owner {
   public:
    virtual void paired() = 0;
    virtual void unpaired(const base::Error& why) = 0;  // Once, last.

   protected:
    ~Owner() = default;
  };

  Pairing(Hello ours, Owner& owner) : ours_(std::move(ours)), owner_(owner) {}
  Pairing(const Pairing&) = delete;
  Pairing& operator=(const Pairing&) = delete;

  // Either, once.
  Result<void> connect(os::EventLoop& loop, const std::string& address, const Credentials& credentials);
  void adopt(std::unique_ptr<Channel> channel, const std::function<void(Channel::Callbacks)>& set);

  // Forgets the peer.  Not from inside the channel's callbacks.
  void close();

  const Hello& ours() const { return ours_; }
  const PeerIdentity& peer() const { return peer_; }  // As proved; empty before.
  const Hello& hello() const { return *hello_; }      // REQUIRES: paired

 private:
  void begin();
  void take(const Frame& frame);
  void fail(const base::Error& why);
  Channel::Callbacks callbacks();

  const Hello ours_;
  Owner& owner_;
  std::unique_ptr<Channel> channel_;
  PeerIdentity peer_;
  std::optional<Hello> hello_;
  bool over_ = false;
};

}  // namespace mobula::transport::ofi
