#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "core/os/event_loop.h"
#include "transport/channel.h"
#include "transport/ucx/core.h"
#include "transport/ucx/link.h"
#include "transport/ucx/wire.h"

namespace mobula::transport::ucx {

// How two workers that may not trust the network come to a link: an authenticated channel, a Hello each way,
// then Attach from the connector and Attach from the acceptor.  The channel stays open; its end is how a
// peer's death or goodbye is known.
class Pairing {
 public:
  enum class Role { kConnector, kAcceptor };

  // Told from the channel's loop; must not destroy the pairing there.
  class Owner {
   public:
    virtual void paired() = 0;
    virtual void unpaired(const base::Error& why) = 0;  // Once, last.

   protected:
    ~Owner() = default;
  };

  struct Identity {  // What we tell the peer about this connection.
    std::uint64_t cookie = 0;
    std::uint32_t slot = 0;
  };

  Pairing(Core& core, Role role, const Identity& identity, Owner& owner);
  ~Pairing();
  Pairing(const Pairing&) = delete;
  Pairing& operator=(const Pairing&) = delete;

  // Either, once.
  Result<void> connect(os::EventLoop& loop, const std::string& address);
  void adopt(std::unique_ptr<Channel> channel, const std::function<void(Channel::Callbacks)>& set);

  // Forgets the peer and leaves the link.  Not from inside the channel's callbacks.
  void close();

  const PeerIdentity& peer() const { return peer_; }           // As proved; empty before.
  const Hello& hello() const { return *hello_; }               // REQUIRES: paired
  const std::shared_ptr<Link>& link() const { return link_; }  // REQUIRES: paired, not closed

 private:
  void begin();
  void take(const Frame& frame);
  Result<void> take_hello(ConstBytes payload);
  Result<void> take_attach(ConstBytes payload);
  Result<void> agree_as_connector(const Attach& attach);
  Result<void> agree_as_acceptor(const Attach& attach);
  Result<void> join_link();
  void leave_link();
  Result<void> send(FrameType type, ConstBytes payload);
  Result<void> finish(std::uint64_t peer_link);
  void fail(const base::Error& why);
  Channel::Callbacks callbacks();

  static constexpr int kRoundsMax = 4;

  Core& core_;
  const Role role_;
  const Identity identity_;
  Owner& owner_;
  std::unique_ptr<Channel> channel_;
  PeerIdentity peer_;
  std::optional<Hello> hello_;
  std::shared_ptr<Link> link_;
  bool paired_ = false;
  bool over_ = false;
  int rounds_ = 0;
};

}  // namespace mobula::transport::ucx
