#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/os/event_loop.h"
#include "core/raylet/data_plane.h"
#include "core/raylet/store_service.h"
#include "core/rpc/rpc.h"
#include "objstore/store.h"

namespace mobula::raylet {

// Brings objects of other nodes into this node's store, and keeps ours in place while others read them.
//
// A pull asks one holder after the other; each object is pulled once however many ask for it.  It ends with the object
// sealed here as a secondary copy, or with an error that says what each holder said: kLost when none has it any more,
// kUnavailable when one that may have it could not be read.
class PullDriver {
 public:
  struct Ports {
    std::function<rpc::Rpc*(const base::NodeId&)> peer;  // Null when it is dead or unknown.
    std::function<bool(const base::NodeId&)> dead;       // Known to be so; what is not may have its copy still.
    std::function<std::string(const base::NodeId&)> name;
  };
  PullDriver(os::EventLoop& loop, const base::NodeId& self, StoreService& store, objstore::StoreClient client,
             DataPlane& data, Ports ports);
  ~PullDriver();
  PullDriver(const PullDriver&) = delete;
  PullDriver& operator=(const PullDriver&) = delete;

  void serve(rpc::Rpc& client);                              // PULL and FREE_OBJECTS of this node's processes.
  void serve_peer(const base::NodeId& peer, rpc::Rpc& rpc);  // PEER_READ, PEER_RELEASE, PEER_FREE.
  void peer_gone(const base::NodeId& peer);                  // What it had pinned is free.
  void give_back_slabs();                                    // Those in which no copy lies any more.

  struct Counts {
    std::size_t pulling = 0, pinned_for_peers = 0;
    std::uint64_t bytes_pulled = 0, bytes_served = 0;
  };
  Counts counts() const;

 private:
  struct Pull {
    std::uint64_t number = 0;  // Tells a late answer from this one.
    std::uint64_t size = 0;
    std::vector<base::NodeId> holders;  // Still to be asked, the next one last.
    std::set<base::NodeId> asked;
    std::string said;           // By holders that failed.
    bool may_be_there = false;  // One of them could not be asked.
    base::NodeId from;
    std::uint64_t remote_pin = 0;
    std::uint64_t remote_offset = 0;
    std::unique_ptr<objstore::Allocation> to;
    std::vector<rpc::Responder> waiting;
  };
  void start(const proto::Pull& request, rpc::Responder responder);
  void ask_next(const base::ObjectId& object);
  void found(const base::ObjectId& object, const proto::PeerReadReply& reply);
  void allocate(const base::ObjectId& object, int tries);
  void copy(const base::ObjectId& object);
  void copied(const base::ObjectId& object, std::uint64_t number, base::Result<void> result);
  void holder_failed(const base::ObjectId& object, const base::Error& why);
  void release(Pull& pull);
  void finish(const base::ObjectId& object, const base::Error* error);
  void answer_read(const base::NodeId& peer, const proto::PeerRead& request, const rpc::Responder& responder);
  void free_here(const proto::FreeObjects& objects);

  os::EventLoop& loop_;
  const base::NodeId self_;
  StoreService& store_;
  objstore::StoreClient client_;
  DataPlane& data_;
  const Ports ports_;
  std::map<base::ObjectId, Pull> pulls_;
  std::uint64_t next_number_ = 1;
  struct Served {
    base::NodeId peer;
    objstore::Pin pin;
  };
  std::map<std::uint64_t, Served> served_;
  std::uint64_t next_pin_ = 1;
  std::uint64_t bytes_pulled_ = 0;
  std::uint64_t bytes_served_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace mobula::raylet
