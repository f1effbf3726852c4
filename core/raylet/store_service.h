#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/proto/control.pb.h"
#include "core/base/result.h"
#include "core/os/event_loop.h"
#include "core/rpc/rpc.h"
#include "objstore/store.h"

namespace mobula::raylet {

// The node's store as its processes see it over their channels: slabs, and what dead processes leave behind.
class StoreService {
 public:
  static base::Result<std::unique_ptr<StoreService>> create(os::EventLoop& loop, const objstore::StoreOptions& options);
  ~StoreService();
  StoreService(const StoreService&) = delete;
  StoreService& operator=(const StoreService&) = delete;

  base::Result<objstore::AttachGrant> attach(pid_t pid) { return store_.attach(pid); }
  // Asks all processes of the node for slabs in which nothing lies; what comes back comes as RETURN_SLAB.
  void ask_for_slabs_with(std::function<void()> ask) { ask_for_slabs_ = std::move(ask); }
  void reclaim(objstore::SlotId slot);               // REQUIRES: its process is gone.
  void serve(rpc::Rpc& rpc, objstore::SlotId slot);  // LEASE_SLAB, RETURN_SLAB.

  // A slab for the raylet's own client, as for any process.
  void lease(objstore::SlotId slot, std::uint64_t bytes, std::function<void(base::Result<objstore::SlabGrant>)> done);
  objstore::Store& store() { return store_; }
  const objstore::Store& store() const { return store_; }

 private:
  struct Waiting {
    objstore::SlotId slot = 0;
    std::uint64_t bytes = 0;
    base::Time until{};
    std::function<void(base::Result<objstore::SlabGrant>)> done;
  };
  StoreService(os::EventLoop& loop, objstore::Store store);
  base::Result<objstore::SlabGrant> try_lease(objstore::SlotId slot, std::uint64_t bytes);
  void arm(base::Duration delay);
  void work();

  os::EventLoop& loop_;
  objstore::Store store_;
  std::function<void()> ask_for_slabs_;
  base::Time asked_at_{};
  std::vector<Waiting> waiting_;
  os::EventLoop::Id timer_ = 0;
};

}  // namespace mobula::raylet
