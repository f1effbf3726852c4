#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "scheduler/actor_messages.h"
#include "scheduler/cluster_view.h"

namespace mobula::scheduler {

struct ActorLimits {
  ClusterView::Limits view;
  std::size_t actors_max = 100'000;      // Not dead.
  std::size_t dead_max = 20'000;         // Dead ones kept for their cause; the oldest go first.
  std::uint64_t lease_window = 4'096;    // Unanswered requests to one node; the raylets' actor_window.
  base::Duration lease_resend = std::chrono::milliseconds(500);
  base::Duration start_resend = std::chrono::seconds(2);
  base::Duration place_retry = std::chrono::milliseconds(200);   // When no node has room.
  base::Duration infeasible_grace{0};                             // As in LeaseLimits.
  base::Duration restart_backoff = std::chrono::milliseconds(100);  // From the second restart on, doubling
  base::Duration restart_backoff_max = std::chrono::seconds(10);    // up to this.
};

// Decides where each actor lives, whether it comes back, and who bears a name.
//
// An actor is registered before anything runs; a node is asked for a worker of its own, then the
// constructor runs there, then it is kAlive.  When the worker or the node dies it restarts, as a new
// incarnation, while restarts are left.  It ends when it is killed, exits, loses its last handle, or
// its owner or job ends, detached ones excepted; then its name is free again.
//
// Each attempt has a lease id of its own; what arrives for an older one is answered with a release, so
// that no two incarnations run at once unless their node is cut off (the GCS fences it).
//
// Invariant: a name belongs to at most one actor that is not dead.  A lease is held, asked for, or being
// released, never two of these.
// Not thread-safe; owned by the GCS's control loop.
class ActorMachine {
 public:
  using Input = ActorInput;
  using Output = ActorOutput;

  // `origin` makes lease ids of this GCS distinct from all others'; the driver draws it at random.
  ActorMachine(std::uint64_t origin, ActorLimits limits);
  ~ActorMachine();

  void step(base::Time now, ActorInput input, base::Outbox<ActorOutput>& out);
  void tick(base::Time now, base::Outbox<ActorOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  const ActorView* find(const base::ActorId& actor) const;  // Dead ones too, while kept.
  std::optional<base::ActorId> named(const std::string& ns, const std::string& name) const;
  std::uint64_t version() const;
  std::vector<ActorView> changes_since(std::uint64_t version) const;  // Oldest first; since 0: all.

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mobula::scheduler
