#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "core/base/ids.h"
#include "core/base/resources.h"
#include "scheduler/actor_lease.h"
#include "scheduler/cluster_view.h"
#include "scheduler/strategy.h"

namespace mobula::scheduler {

enum class ActorState : std::uint8_t {
  kPending = 1,  // Waits for a node, a worker, or its constructor.  Calls queue at the callers.
  kAlive = 2,
  kRestarting = 3,  // As kPending, after a death.
  kDead = 4,
};
enum class ActorEnd : std::uint8_t {  // Why it is dead.
  kNone = 0,
  kWorkerDied,  // And no restarts are left.
  kConstructorThrew,
  kUnschedulable,
  kStartFailed,  // No node could start a worker for it.
  kKilled,
  kOutOfScope,  // No handle is left.
  kExited,      // It ended itself.
  kOwnerDied,
  kJobEnded,
};
enum class ActorLifetime : unsigned char { kOwned = 1, kDetached = 2 };
enum class OnExistingName : unsigned char { kRefuse = 1, kGet = 2 };

// ---- What the GCS tells the machine ------------------------------------------------------------

// Idempotent by actor id: repeated until answered.  A refusal is not remembered: a copy that arrives after it is
// judged anew.
struct RegisterActor {
  std::uint64_t request = 0;  // Echoed.
  base::ActorId actor;
  base::JobId job;
  base::WorkerId owner;
  base::NodeId owner_node;
  std::string name;  // Empty: none.  Unique in (ns) among those not dead.
  std::string ns;
  Strategy strategy;
  base::Resources shape;
  std::uint32_t max_restarts = 0;  // kRestartForever allowed.
  ActorLifetime lifetime = ActorLifetime::kOwned;
  OnExistingName existing = OnExistingName::kRefuse;
  Labels labels{};  // Its own.
};
inline constexpr std::uint32_t kRestartForever = 0xffff'ffffu;

struct ActorStarted {  // Its constructor has returned; calls may be sent to `address`.
  base::ActorId actor;
  base::LeaseId lease;
  std::string address;
};
struct ActorStartFailed {  // Its constructor threw.
  base::ActorId actor;
  base::LeaseId lease;
  std::string error;  // Opaque: an encoded ErrorInfo.
};
struct ActorExited {  // It asked for its own end; the worker is about to exit.
  base::ActorId actor;
  base::LeaseId lease;
};
struct KillActor {
  enum class Restart : unsigned char { kNever = 1, kAllowed = 2 };
  base::ActorId actor;
  Restart restart = Restart::kNever;
};
struct ActorHandlesGone {  // All handles are gone: finish what is queued, then exit.
  base::ActorId actor;
};
struct ActorOwnerGone {
  base::WorkerId owner;
};
struct ActorJobEnded {  // Ends what the job owns; detached actors live on.
  base::JobId job;
};
using ActorInput =
    std::variant<RegisterActor, ActorGrant, ActorReject, ActorLost, ActorReleased, ActorStarted, ActorStartFailed,
                 ActorExited, KillActor, ActorHandlesGone, ActorOwnerGone, ActorJobEnded, NodeView, GroupNews>;

// ---- What the machine asks of the GCS ----------------------------------------------------------

struct ActorRegistered {
  std::uint64_t request = 0;
  base::ActorId actor;  // With OnExistingName::kGet possibly another than was asked for.
};
struct ActorRefused {
  std::uint64_t request = 0;
  base::ActorId actor;
  std::string why;
};
// Run the constructor: the creation task goes to the worker.  Repeated until it ends; workers know
// (actor, incarnation) and run it once.
struct StartActor {
  base::ActorId actor;
  std::uint32_t incarnation = 0;
  base::NodeId node;
  base::LeaseId lease;
  base::WorkerId worker;
  std::string address;
};
// The public record of an actor, whole at each change.
struct ActorView {
  base::ActorId actor;
  std::uint64_t version = 0;  // Of the actor table; grows with each change of any actor.
  ActorState state = ActorState::kPending;
  std::uint32_t incarnation = 0;  // Of the life that is alive or being made; 0 is the first.
  std::uint32_t restarts_left = 0;
  base::JobId job;
  base::WorkerId owner;
  std::string name, ns;
  ActorLifetime lifetime = ActorLifetime::kOwned;
  base::NodeId node;      // Of kAlive.
  base::WorkerId worker;  // Of kAlive.
  std::string address;    // Of kAlive.
  ActorEnd end = ActorEnd::kNone;
  std::string cause;                    // Of kRestarting and kDead: a sentence, or the constructor's ErrorInfo.
  std::string evidence;                 // Of kStartFailed: how often it was tried, how long, and where.
  std::optional<base::NodeId> nearest;  // Of kUnschedulable: the node that lacks least.
};
struct ActorChanged {
  ActorView view;
};
// The labels of the actors of a node have changed: whoever places work must hear it.
struct NodeActors {
  base::NodeId node;
  ActorLabels labels;
};
using ActorOutput =
    std::variant<ActorRegistered, ActorRefused, ActorLease, ActorRelease, StartActor, ActorChanged, NodeActors>;

}  // namespace mobula::scheduler
