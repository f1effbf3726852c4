#pragma once

#include <cstdint>
#include <string>

#include "core/base/ids.h"
#include "core/base/resources.h"
#include "scheduler/strategy.h"

namespace mobula::scheduler {

// How a worker is asked to end.
enum class StopMode : unsigned char {
  kDrain = 1,  // Finish what is queued, then exit.
  kKill = 2,
};
// Whether a worker that comes back from a lease may serve another.
enum class WorkerFate : unsigned char { kReusable = 1, kSpent = 2 };

// What the GCS (ActorMachine) and a raylet (LeaseMachine) say to each other about one actor's worker.
// `node` is the raylet's node in both directions.  Requests and releases are repeated until answered.
struct ActorLease {
  base::NodeId node;
  std::uint64_t request = 0;  // RequestWindow of (GCS, node).
  std::uint64_t floor = 0;
  base::LeaseId lease;
  base::ActorId actor;
  std::uint32_t incarnation = 0;
  base::JobId job;
  base::Resources shape;
  BundleRef bundle;
};
struct ActorGrant {  // Answers ActorLease: a worker that serves nobody else.
  base::NodeId node;
  base::LeaseId lease;
  base::ActorId actor;
  base::WorkerId worker;
  std::string address;
};
struct ActorReject {  // Answers ActorLease.
  enum class Reason : unsigned char {
    kNoRoom = 1,   // Now.
    kStartFailed,  // There is room, but no worker could be started.
  };
  base::NodeId node;
  base::LeaseId lease;
  base::ActorId actor;
  Reason reason = Reason::kNoRoom;
  std::string cause;  // Of kStartFailed, as a worker's end is told: opaque.
  base::Resources available;
};
struct ActorLost {  // The worker is gone; repeated until ActorRelease.
  base::NodeId node;
  base::LeaseId lease;
  base::ActorId actor;
  std::string cause;
};
struct ActorRelease {  // May overtake its ActorLease, hence `request`.
  base::NodeId node;
  std::uint64_t request = 0;
  std::uint64_t floor = 0;
  base::LeaseId lease;
  base::ActorId actor;
  StopMode mode = StopMode::kKill;
};
struct ActorReleased {  // Answers ActorRelease; the worker may still be on its way out.
  base::NodeId node;
  base::LeaseId lease;
};

}  // namespace mobula::scheduler
