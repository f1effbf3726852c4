#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/ids.h"
#include "core/base/machine.h"
#include "core/base/request_window.h"
#include "core/base/timers.h"
#include "scheduler/actor_messages.h"
#include "scheduler/cluster_view.h"

namespace mobula::scheduler {

struct ActorLimits {
  ClusterView::Limits view;
  std::size_t actors_max = 100'000;     // Not dead.
  std::size_t gone_owners_max = 4'096;  // Remembered, so that a late registration makes no orphan.
  std::size_t dead_max = 20'000;        // Dead ones kept for their cause; the oldest go first.
  std::uint64_t lease_window = 4'096;   // Unanswered requests to one node; the raylets' actor_window.
  base::Duration lease_resend = std::chrono::milliseconds(500);
  base::Duration start_resend = std::chrono::seconds(2);
  base::Duration place_retry = std::chrono::milliseconds(200);  // When no node has room.
  base::Duration infeasible_grace{0};                           // As in LeaseLimits.
  // An actor for which each node that could have it has failed to start a worker is given up after so many tries and
  // so long, or after so many tries alone.
  std::uint32_t start_tries = 3;
  base::Duration start_patience = std::chrono::seconds(5);
  std::uint32_t start_tries_max = 64;
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
// Each attempt has a lease id of its own; what arrives for an older one is answered with a release.  The
// next incarnation begins when the last one is known to be dead, has been told to die (a kill that
// allows restarts: they may overlap for as long as the signal takes), or its node is fenced.
//
// A node that could not start a worker is passed over while another might; an actor that starts nowhere dies.
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

  void step(base::Time now, ActorInput input, base::Outbox<ActorOutput>& out);
  void tick(base::Time now, base::Outbox<ActorOutput>& out);
  std::optional<base::Time> next_deadline() const;
  bool is_valid() const;

  const ActorView* find(const base::ActorId& actor) const;  // Dead ones too, while kept.
  std::optional<base::ActorId> named(const std::string& ns, const std::string& name) const;
  std::uint64_t version() const { return version_; }
  std::vector<ActorView> changes_since(std::uint64_t version) const;  // Oldest first; since 0: all.

  // Why an actor that is neither alive nor dead is not alive yet, and what it holds or would hold.
  struct Wait {
    base::Resources shape;
    std::string what;  // One sentence.
    std::optional<base::NodeId> nearest;
  };
  std::optional<Wait> wait_of(base::Time now, const base::ActorId& actor) const;
  const base::Resources* shape_of(const base::ActorId& actor) const;

 private:
  enum class Phase : unsigned char { kPlacing = 1, kBackoff, kAsked, kStarting, kAlive, kDead };
  struct StartFailures {  // Since a worker was last had.
    std::uint32_t count = 0;
    base::Time first{};
    std::set<base::NodeId> nodes;  // All that failed it.
    std::set<base::NodeId> round;  // Those passed over until each other one has failed it too.
  };
  struct Actor {
    ActorView view;
    Strategy strategy;
    base::Resources shape;
    Labels labels;  // Its own.
    base::NodeId owner_node;
    Phase phase = Phase::kPlacing;
    std::uint64_t ticket = 0;  // Of kPlacing: its place in the line.
    std::uint32_t restarts = 0;
    base::LeaseId lease;  // Of kAsked, kStarting, kAlive; so are the next four.
    base::NodeId node;
    std::uint64_t request = 0;
    base::WorkerId worker;  // From kStarting on.
    std::string address;
    std::optional<base::Time> infeasible_since;
    std::optional<base::Time> probe_at;  // A node that looks full may be asked then.
    StartFailures starts;
  };
  struct Release {
    base::NodeId node;
    base::ActorId actor;
    std::uint64_t request = 0;
    StopMode mode = StopMode::kKill;
  };
  using Out = base::Outbox<ActorOutput>;

  void on(base::Time now, RegisterActor&& event, Out& out);
  void on(base::Time now, ActorGrant&& event, Out& out);
  void on(base::Time now, ActorReject&& event, Out& out);
  void on(base::Time now, ActorLost&& event, Out& out);
  void on(base::Time now, ActorReleased&& event, Out& out);
  void on(base::Time now, ActorStarted&& event, Out& out);
  void on(base::Time now, ActorStartFailed&& event, Out& out);
  void on(base::Time now, ActorExited&& event, Out& out);
  void on(base::Time now, KillActor&& event, Out& out);
  void on(base::Time now, ActorHandlesGone&& event, Out& out);
  void on(base::Time now, ActorOwnerGone&& event, Out& out);
  void on(base::Time now, ActorJobEnded&& event, Out& out);
  void on(base::Time now, NodeView&& event, Out& out);
  void on(base::Time now, GroupNews&& event, Out& out);

  Actor* with_lease(const base::ActorId& actor, const base::LeaseId& lease);
  void changed(Actor& actor, Out& out);
  void queue_for_place(Actor& actor);
  void leave_line(Actor& actor);
  ActorLabels actors_of(const base::NodeId& node) const;
  void count_labels(const Actor& actor, int change, Out& out);
  void place_waiting(base::Time now, Out& out);
  bool place(base::Time now, Actor& actor, Out& out);
  std::optional<base::NodeId> choose(base::Time now, const Actor& actor);
  std::optional<base::NodeId> choose_among(base::Time now, const Actor& actor, const ClusterView::Wish& wish);
  std::optional<base::NodeId> least_loaded(base::Time now, const Actor& actor, const ClusterView::Wish& wish) const;
  std::int64_t load_of(const NodeView& view) const;
  void reload(const base::NodeId& node);
  void ask(base::Time now, const Actor& actor, Out& out);
  void start(base::Time now, const Actor& actor, Out& out);
  void leave_lease(base::Time now, Actor& actor, StopMode mode, Out& out);  // Releases it; the worker ends.
  void forget_lease(Actor& actor, Out& out);
  void release(base::Time now, const base::LeaseId& lease, Release what, Out& out);
  void start_failed(base::Time now, Actor& actor, const base::NodeId& node, std::string cause, Out& out);
  bool each_is_in(const std::set<base::NodeId>& nodes, const Actor& actor) const;
  void died(base::Time now, Actor& actor, std::string cause, Out& out);
  void end(base::Time now, Actor& actor, ActorEnd end, std::string cause, StopMode mode, Out& out);
  void owner_gone(base::Time now, const base::WorkerId& owner, Out& out);
  base::RequestSender& sender(const base::NodeId& node);
  void trim_dead();

  const std::uint64_t origin_;
  const ActorLimits limits_;
  ClusterView view_;
  std::uint64_t version_ = 0, next_lease_ = 1, next_ticket_ = 1;
  std::map<base::ActorId, Actor> actors_;
  std::map<std::uint64_t, base::ActorId> dead_;                         // By the version of their death.
  std::map<std::uint64_t, base::ActorId> changes_;                      // By version; one entry per actor.
  std::map<std::pair<std::string, std::string>, base::ActorId> names_;  // (ns, name) of those not dead.
  std::map<base::WorkerId, std::set<base::ActorId>> by_owner_;          // Owned and not dead.
  std::set<base::WorkerId> gone_owners_;
  std::deque<base::WorkerId> gone_order_;
  std::map<std::pair<std::int32_t, std::uint64_t>, base::ActorId> placing_;  // The highest priority first, by ticket.
  std::map<base::NodeId, std::size_t> placed_;  // Actors asked for or running on each node.
  std::map<base::NodeId, std::map<std::pair<std::string, std::string>, std::size_t>> labels_;  // Of these, counted.
  // What one more actor would make of each node's load, for actors without cpus.
  std::map<base::NodeId, std::int64_t> loads_;
  std::set<std::pair<std::int64_t, base::NodeId>> by_load_;
  std::map<base::NodeId, base::RequestSender> senders_;
  std::map<base::LeaseId, Release> releases_;  // Not yet confirmed.
  base::Timers<base::ActorId> timers_;
  base::Timers<base::LeaseId> release_timers_;
  std::optional<base::Time> place_at_;
};

}  // namespace mobula::scheduler
