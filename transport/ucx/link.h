#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <ucp/api/ucp.h>

#include "transport/ucx/wire.h"

namespace mobula::transport::ucx {

// What UCX makes of one region's remote key.
struct Rkey {
  ucp_rkey_h handle = nullptr;
  std::size_t uses = 0;  // Operations in flight that name it.
};

// One UCX endpoint, shared by all connections between two workers.
//
// UCX pairs the n-th endpoint that a worker makes to a peer with the n-th that the peer makes back, and a
// forced close takes the other half along.  Two workers that connect to each other at the same time would get
// their connections' endpoints crossed; so there is one link between two workers, and each connection
// agrees by Attach which it is.
class Link {
 public:
  class Owner {
   public:
    // The link failed, from inside UCX: note it, and close it later.
    virtual void link_failed(Link& link, ucs_status_t status) = 0;

   protected:
    ~Owner() = default;
  };

  struct Options {
    ucp_worker_h worker = nullptr;
    std::uint64_t instance = 0;  // Of the peer.
    std::string address;         // Of the peer, from its Hello.
  };
  static Result<std::shared_ptr<Link>> open(const Options& options, Owner& owner);
  ~Link();  // REQUIRES: no operation on it is in flight.
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // By force: what is in flight ends with an error in the next calls of ucp_worker_progress.
  void close();
  bool closed() const { return ep_ == nullptr; }

  ucp_ep_h ep() const { return ep_; }  // REQUIRES: !closed()
  std::uint64_t instance() const { return instance_; }
  std::uint64_t id() const { return id_; }

  // The peer's id of its half; 0 while it is not known.
  std::uint64_t peer_id() const { return peer_id_; }
  void set_peer_id(std::uint64_t id) { peer_id_ = id; }

  // Connections that use it.  The last one to leave closes it.
  void join() { ++users_; }
  void leave() {
    if (--users_ == 0) close();
  }

  // Good until an operation that took it up by `uses` has put it down again.
  Result<Rkey*> rkey_of(const RegionKey& key);

 private:
  Link(std::uint64_t instance, Owner& owner);
  static void on_failure(void* link, ucp_ep_h ep, ucs_status_t status);
  void drop_unused_rkeys();

  static constexpr std::size_t kRkeysMax = 4096;

  Owner& owner_;
  std::uint64_t instance_;
  std::uint64_t id_ = 0;
  std::uint64_t peer_id_ = 0;
  ucp_ep_h ep_ = nullptr;
  std::size_t users_ = 0;
  std::unordered_map<std::uint64_t, Rkey> rkeys_;  // By region.
};

}  // namespace mobula::transport::ucx
