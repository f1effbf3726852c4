#pragma once

#include <functional>
#include <map>
#include <string>

#include "core/base/ids.h"
#include "core/base/proto/control.pb.h"
#include "core/rpc/rpc.h"

namespace mobula::raylet {

// The actors that live on this node, from the constructor to the end of their worker.  Where an actor lives and whether
// it comes back is the GCS's; which worker it gets is LeaseMachine's.
class ActorHost {
 public:
  struct Ports {
    std::function<rpc::Rpc*(const base::WorkerId&)> client;
    std::function<void(const proto::ActorLease&)> to_gcs;
    std::function<void(const base::WorkerId&, const std::string& name)> rename;  // Of its lines in the log.
  };
  explicit ActorHost(Ports ports) : ports_(std::move(ports)) {}

  void granted(const proto::ActorLease& grant);  // The lease has a worker; on its way to the GCS.
  void start(const proto::ActorLease& message);  // START, repeated until STARTED or START_FAILED has arrived.
  void serve(rpc::Rpc& rpc, const base::WorkerId& worker);  // ACTOR_STARTED, and ACTOR_DIED when it ends itself.
  void worker_gone(const base::WorkerId& worker);

  struct Actor {
    base::ActorId actor;
    base::LeaseId lease;
    proto::Address address;
    std::uint64_t incarnation = 0;
    std::string class_name;
    std::string name;
    bool detached = false;
    base::WorkerId owner;
    bool retriable = false;  // It comes back when its worker dies.
    bool sent = false;
    proto::ActorLease outcome;  // STARTED or START_FAILED, once known.
    bool known = false;
  };
  const std::map<base::WorkerId, Actor>& actors() const { return actors_; }

 private:
  const Ports ports_;
  std::map<base::WorkerId, Actor> actors_;
  std::map<base::LeaseId, base::WorkerId> leases_;
};

}  // namespace mobula::raylet
