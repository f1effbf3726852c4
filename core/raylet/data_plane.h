#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "objstore/store.h"
#include "transport/transport.h"

namespace mobula::raylet {

// Which link joins two nodes (ARCHITECTURE section 5): MOBULA_NODE_LINK.
enum class NodeLink : std::uint8_t { kAuto, kShm, kSock, kUcx };
base::Result<NodeLink> parse_node_link(const std::string& text);  // kInvalid names what there is.

// The data between nodes: one-sided reads of other nodes' stores into ours, and ours for theirs.
//
// On a thread of its own, since a copy of many megabytes must not keep the raylet's loop from its messages.  The
// methods are the main loop's and do not block; callbacks run on the main loop.
class DataPlane {
 public:
  struct Options {
    transport::Credentials credentials;
    std::string socket_directory;
    std::string interface;  // For sock; empty: a Unix socket of the session.
    NodeLink link = NodeLink::kAuto;
    std::string host_key;
    int data_fd = -1;  // The node's store, and our mapping of all of it.
    base::Bytes mapping;
  };
  static base::Result<std::unique_ptr<DataPlane>> create(os::EventLoop& main_loop, const Options& options);
  ~DataPlane();
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  void offer(proto::PeerHello& hello) const;        // Adds our addresses and keys.
  void peer_offers(const proto::PeerHello& hello);  // What PEER_HELLO of a peer said.
  void forget(const base::NodeId& peer);            // It is dead: its reads end with kUnavailable.

  // Reads `size` bytes at `from` of the peer's store into the allocation, which the caller keeps until `done`.
  // kUnavailable: no link, or it broke; kDeadline: nothing has moved for a while.
  using Done = std::function<void(base::Result<void>)>;
  void read(const base::NodeId& peer, std::uint64_t from, const objstore::Allocation& to, std::size_t size, Done done);

 private:
  class Mover;
  explicit DataPlane(os::EventLoop& main_loop);

  os::EventLoop& main_loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  // The main loop's.
  proto::PeerHello offer_;
  std::unique_ptr<Mover> mover_;  // The thread's, but for its making and its end.
  std::thread thread_;
};

}  // namespace mobula::raylet
