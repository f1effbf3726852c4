#pragma once

#include <memory>
#include <optional>

#include "core/base/result.h"
#include "core/worker/engine.h"
#include "core/worker/object.h"
#include "core/worker/raylet_link.h"
#include "core/worker/runtime.h"
#include "objstore/store.h"

namespace mobula::runtime {

// This process's door to its node's store: allocates, asking the raylet for slabs when it must, seals, looks up.
//
// Under the engine's lock, but for what allocate() says.
class LocalStore {
 public:
  LocalStore(Engine& engine, RayletLink& raylet, objstore::StoreClient client)
      : engine_(engine), raylet_(raylet), client_(std::move(client)) {}

  // Waits for a slab when needed: the lock is given up and taken again meanwhile.  kExhausted with the store's numbers
  // when no room was made within `full_timeout`.
  base::Result<objstore::Allocation> allocate(Engine::Lock& lock, std::size_t bytes);
  void set_full_timeout(base::Duration timeout) { full_timeout_ = timeout; }

  base::Result<objstore::Sealed> seal(objstore::Allocation&& allocation, const base::ObjectId& id,
                                      objstore::Copy copy) {
    return client_.seal(std::move(allocation), id, copy);
  }
  void abort(objstore::Allocation&& allocation) { client_.abort(std::move(allocation)); }

  // get() may be asked for this object soon.
  void expect(const base::ObjectId& id) const { client_.expect(id); }
  // The object's bytes, pinned while the view lives, when a copy is on this node.
  std::optional<View> get(const base::ObjectId& id);
  // All of the node's store, as this process maps it.
  base::ConstBytes mapping() const { return client_.mapping(); }
  bool free(const base::ObjectId& id) { return client_.free(id); }

 private:
  base::Result<void> lease_slab(Engine::Lock& lock, std::uint64_t bytes);

  Engine& engine_;
  RayletLink& raylet_;
  objstore::StoreClient client_;
  base::Duration full_timeout_ = std::chrono::seconds(10);
};

}  // namespace mobula::runtime
