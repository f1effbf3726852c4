#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/ids.h"
#include "core/base/result.h"
#include "core/worker/address.h"
#include "core/worker/messages.h"
#include "transport/cpu_sharing.h"
#include "transport/transport.h"

namespace mobula::runtime {

// Another driver or worker, for as long as this process knows it.  Never reused for another process.
struct Peer {
  ProcessAddress address;
  transport::Endpoint* endpoint = nullptr;  // Null before the first message and after the loss.
  bool lost = false;
  base::Error why_lost;

  struct Waiting {
    Hot type;
    base::Buffer header;
    base::Buffer payload;
  };
  std::deque<Waiting> backlog;  // Messages the transport had no room for.
  std::size_t backlog_bytes = 0;
  std::uint32_t worker_handle = ~0u;  // SubmitMachine's, while we lease it.
};

// What Links tells the process.
class LinkHandler {
 public:
  virtual void message(Peer& from, Hot type, base::ConstBytes header, base::ConstBytes payload) = 0;
  virtual void writable(Peer& peer) = 0;   // Nothing waits for room any more.
  virtual void peer_lost(Peer& peer) = 0;  // Once per peer; its process has ended, for us.

 protected:
  ~LinkHandler() = default;
};

enum class NodeLink : std::uint8_t { kAuto, kShm, kSock, kUcx, kOfi };
NodeLink parse_node_link(const std::string& text);  // kAuto for anything else.

// The transports of this process and the peers reached over them.  Decides which link joins two processes: memory on
// one node always, between nodes what MOBULA_NODE_LINK says (ARCHITECTURE section 5).
//
// Belongs to the engine: its lock around every call.
class Links final : public transport::Inbox {
 public:
  Links(NodeLink between_nodes, LinkHandler& handler) : between_nodes_(between_nodes), handler_(handler) {}

  // Each once, before anything is sent.
  void use_shm(std::unique_ptr<transport::Worker> worker) {
    shm_ = std::move(worker);
    cpu_sharing_ = dynamic_cast<transport::CpuSharing*>(shm_.get());
  }
  void use_sock(std::unique_ptr<transport::Worker> worker) { sock_ = std::move(worker); }
  void use_ucx(std::unique_ptr<transport::Worker> worker) { ucx_ = std::move(worker); }
  void set_self(const ProcessAddress& self) { self_ = self; }
  const ProcessAddress& self() const { return self_; }

  // The peer at this address; the same object for the same worker id.  Does not connect.
  Peer& peer(const ProcessAddress& address);
  Peer* find(const base::WorkerId& id);

  // Sends, connecting when needed; queues while the transport has no room, at most kBacklogBytesMax.  A message to a
  // lost peer is dropped: peer_lost() has told or will tell.
  void send(Peer& peer, Hot type, base::ConstBytes header, base::ConstBytes payload);

  // Somebody else knows that the process has ended.
  void declare_lost(Peer& peer, const base::Error& why);
  void declare_node_lost(const base::NodeId& node, const base::Error& why);

  std::size_t progress_shm() { return shm_ ? shm_->progress() : 0; }
  std::size_t progress_others();
  // Of those whose descriptor says nothing before they are armed: UCX.
  std::size_t progress_unarmed() { return ucx_ ? ucx_->progress() : 0; }
  // As transport::CpuSharing says.
  bool receiver_shares_cpu() { return cpu_sharing_ != nullptr && cpu_sharing_->receiver_shares_cpu(); }
  bool has_others() const { return sock_ != nullptr || ucx_ != nullptr; }
  transport::Worker* shm() { return shm_.get(); }
  // True when every transport sleeps well: nothing is ready and its event_fd() will wake us.  One that does not has
  // made progress instead.
  bool arm();
  std::vector<int> event_fds() const;

 private:
  static constexpr std::size_t kBacklogBytesMax = std::size_t{1} << 30;

  transport::Worker* worker_for(const ProcessAddress& to, const std::string*& address);
  bool open(Peer& peer);
  void flush(Peer& peer);
  void lose(Peer& peer, const base::Error& why);

  void accepted(transport::Endpoint& endpoint) override;
  void message(transport::Endpoint& from, std::uint16_t type, base::ConstBytes header,
               base::ConstBytes payload) override;
  void writable(transport::Endpoint& endpoint) override;
  void lost(transport::Endpoint& endpoint, const base::Error& why) override;

  const NodeLink between_nodes_;
  LinkHandler& handler_;
  ProcessAddress self_;
  std::unordered_map<base::WorkerId, std::unique_ptr<Peer>> peers_;
  std::unique_ptr<transport::Worker> shm_;
  transport::CpuSharing* cpu_sharing_ = nullptr;  // The same.
  std::unique_ptr<transport::Worker> sock_;
  std::unique_ptr<transport::Worker> ucx_;
};

}  // namespace mobula::runtime
