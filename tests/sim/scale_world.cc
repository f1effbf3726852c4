#include "tests/sim/scale_world.h"

#include <malloc.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "scheduler/actor.h"
#include "scheduler/group.h"
#include "scheduler/lease.h"
#include "scheduler/membership.h"
#include "tests/sim/event_queue.h"

namespace mobula::sim {
namespace {

using namespace scheduler;

template <class Id>
Id id(std::uint64_t n) {
  return Id::from_words(n + 1, (n + 1) * 7919, 1, 0);
}

base::Resources cpus(double n) {
  base::Resources r;
  r.set("cpus", base::Amount::of(n));
  return r;
}

double cpu_us() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

std::size_t heap_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// A process that handles one message after another.
struct Busy {
  base::Time free{};

  base::Time handle(base::Time arrives, base::Duration cost) {
    free = std::max(free, arrives) + cost;
    return free;
  }
};

class FillWorld {
 public:
  explicit FillWorld(const ScaleOptions& options) : options_(options), membership_(MembershipLimits{}) {
    LeaseLimits limits;
    limits.pool.cores = options.cpus_per_node;
    busy_.resize(options.nodes);
    workers_of_.resize(options.nodes);
    for (std::uint32_t n = 0; n < options.nodes; ++n) {
      LeaseMachine::Self self{id<base::NodeId>(n), cpus(options.cpus_per_node), {}};
      index_[self.node] = n;
      raylets_.push_back(std::make_unique<LeaseMachine>(std::move(self), limits));
    }
    const std::size_t before = heap_bytes();
    base::Outbox<MembershipOutput> changes;
    for (std::uint32_t n = 0; n < options.nodes; ++n) {
      membership_.step(queue_.now(), NodeRegistered{id<base::NodeId>(n), 1, "", cpus(options.cpus_per_node), {}},
                       changes);
      for (const auto& change : changes) {
        if (const auto* c = std::get_if<NodeChanged>(&change)) raylets_[0]->step(queue_.now(), c->view, out_);
      }
      changes.clear();
    }
    view_bytes_ = heap_bytes() - before;
    for (std::uint32_t n = 0; n < options.nodes; ++n) {
      for (std::uint32_t w = 0; w < options.cpus_per_node; ++w) {
        const auto worker = id<base::WorkerId>(std::uint64_t{1} << 32 | n << 10 | w);
        raylets_[n]->step(queue_.now(), WorkerReady{worker, kJob, "there"}, out_);
      }
    }
    out_.clear();
  }

  ScaleResult run() {
    const std::uint32_t want = options_.nodes * options_.cpus_per_node;
    const base::Time start = queue_.now();
    to(0, DemandSet{kOwner, 0, kJob, cpus(1), {}, want, 1});
    const base::Time limit = start + std::chrono::seconds(600);
    while (granted_ < want && queue_.now() < limit) queue_.run_until(queue_.now() + std::chrono::milliseconds(1));
    ScaleResult out;
    out.took = last_grant_ - start;
    out.done = granted_;
    out.cpu_us_each = home_cpu_us_ / want;
    out.messages_per_node = static_cast<double>(messages_) / options_.nodes;
    const double seconds = std::max(std::chrono::duration<double>(out.took).count(), 1e-3);
    out.news_per_node_per_s = static_cast<double>(news_) / seconds;
    out.bytes_each = static_cast<double>(view_bytes_) / options_.nodes;
    return out;
  }

 private:
  static inline const base::JobId kJob = id<base::JobId>(1);
  static inline const base::WorkerId kOwner = id<base::WorkerId>(7);

  // A message to a raylet: over the link, then behind what that has to handle before.
  void to(std::uint32_t n, LeaseInput input) {
    const base::Time done = busy_[n].handle(queue_.now() + options_.link, options_.handle);
    queue_.at(done, [this, n, input = std::move(input)]() mutable { step(n, std::move(input)); });
  }
  void step(std::uint32_t n, LeaseInput input) {
    base::Outbox<LeaseOutput> out;
    const double before = n == 0 ? cpu_us() : 0;
    raylets_[n]->step(queue_.now(), std::move(input), out);
    if (n == 0) home_cpu_us_ += cpu_us() - before;
    put(n, std::move(out));
    arm(n);
  }
  void arm(std::uint32_t n) {
    const auto next = raylets_[n]->next_deadline();
    if (!next || (armed_.contains(n) && armed_[n] <= *next)) return;
    armed_[n] = *next;
    queue_.at(*next, [this, n, when = *next] {
      if (armed_[n] != when) return;
      armed_.erase(n);
      base::Outbox<LeaseOutput> out;
      const double before = n == 0 ? cpu_us() : 0;
      raylets_[n]->tick(queue_.now(), out);
      if (n == 0) home_cpu_us_ += cpu_us() - before;
      put(n, std::move(out));
      arm(n);
    });
  }
  void put(std::uint32_t n, base::Outbox<LeaseOutput>&& out) {
    for (LeaseOutput& output : out) {
      if (auto* grant = std::get_if<Grant>(&output)) {
        ++granted_;
        last_grant_ = queue_.now() + options_.link;
        to(0, GrantAcked{kOwner, grant->lease});
      } else if (const auto* free = std::get_if<AvailabilityChanged>(&output)) {
        heartbeat(n, *free);
      } else {
        std::visit(
            [this, n](auto& o) {
              if constexpr (requires { o.peer; }) {
                messages_ += 2;
                const std::uint32_t peer = index_.at(o.peer);
                o.peer = id<base::NodeId>(n);
                if constexpr (std::is_convertible_v<decltype(o), LeaseInput>) to(peer, std::move(o));
              }
            },
            output);
      }
    }
  }
  void heartbeat(std::uint32_t n, const AvailabilityChanged& free) {
    ++messages_;
    base::Outbox<MembershipOutput> changes;
    membership_.step(queue_.now() + options_.link, NodeHeartbeat{id<base::NodeId>(n), 1, free.version, free.available},
                     changes);
    for (auto& change : changes) {
      if (auto* c = std::get_if<NodeChanged>(&change)) {
        ++news_;
        to(0, std::move(c->view));
      }
    }
  }

  const ScaleOptions options_;
  EventQueue queue_;
  MembershipMachine membership_;
  std::vector<std::unique_ptr<LeaseMachine>> raylets_;
  std::vector<Busy> busy_;
  std::vector<std::vector<base::WorkerId>> workers_of_;
  std::map<base::NodeId, std::uint32_t> index_;
  std::map<std::uint32_t, base::Time> armed_;
  base::Outbox<LeaseOutput> out_;
  std::uint64_t messages_ = 0, news_ = 0, granted_ = 0;
  std::size_t view_bytes_ = 0;
  double home_cpu_us_ = 0;
  base::Time last_grant_{};
};

}  // namespace

ScaleResult fill_with_leases(const ScaleOptions& options) { return FillWorld(options).run(); }

ScaleResult create_actors(const ScaleOptions& options, std::uint32_t actors) {
  ActorLimits limits;
  limits.actors_max = std::max<std::size_t>(limits.actors_max, actors);
  ActorMachine machine(1, limits);
  base::Outbox<ActorOutput> out;
  base::Time now(std::chrono::seconds(1));
  for (std::uint32_t n = 0; n < options.nodes; ++n) {
    machine.step(now,
                 NodeView{id<base::NodeId>(n),
                          n + 1,
                          NodeState::kAlive,
                          "",
                          cpus(options.cpus_per_node),
                          cpus(options.cpus_per_node),
                          {}},
                 out);
  }
  out.clear();
  ScaleResult result;
  const std::size_t before = heap_bytes();
  const double start = cpu_us();
  std::uint64_t messages = 0;
  for (std::uint32_t a = 0; a < actors; ++a) {
    now += options.handle;
    RegisterActor actor;
    actor.request = a + 1;
    actor.actor = id<base::ActorId>(a);
    actor.job = id<base::JobId>(1);
    actor.owner = id<base::WorkerId>(7);
    actor.owner_node = id<base::NodeId>(0);
    base::Outbox<ActorOutput> todo;
    machine.step(now, std::move(actor), todo);
    while (!todo.empty()) {  // Its node answers at once.
      base::Outbox<ActorOutput> next;
      for (const ActorOutput& output : todo) {
        ++messages;
        if (const auto* ask = std::get_if<ActorLease>(&output)) {
          machine.step(now, ActorGrant{ask->node, ask->lease, ask->actor, id<base::WorkerId>(100 + a), "there"}, next);
        } else if (const auto* begin = std::get_if<StartActor>(&output)) {
          machine.step(now, ActorStarted{begin->actor, begin->lease, ""}, next);
        } else if (const auto* change = std::get_if<ActorChanged>(&output)) {
          result.done += change->view.state == ActorState::kAlive;
        }
      }
      todo = std::move(next);
    }
  }
  result.cpu_us_each = (cpu_us() - start) / actors;
  result.bytes_each = static_cast<double>(heap_bytes() - before) / actors;
  result.messages_per_node = static_cast<double>(messages) / options.nodes;
  return result;
}

ScaleResult create_groups(const ScaleOptions& options, std::uint32_t groups, std::uint32_t bundles) {
  GroupMachine machine(1, GroupLimits{});
  base::Outbox<GroupOutput> out;
  base::Time now(std::chrono::seconds(1));
  for (std::uint32_t n = 0; n < options.nodes; ++n) {
    const auto node = id<base::NodeId>(n);
    machine.step(now, NodeTopology{node, {}}, out);
    machine.step(
        now, NodeView{node, n + 1, NodeState::kAlive, "", cpus(options.cpus_per_node), cpus(options.cpus_per_node), {}},
        out);
  }
  ScaleResult result;
  std::uint64_t messages = 0;
  const double start = cpu_us();
  for (std::uint32_t g = 0; g < groups; ++g) {
    now += options.handle;
    CreateGroup create;
    create.request = g + 1;
    create.group = id<base::PlacementGroupId>(g);
    create.job = id<base::JobId>(1);
    create.owner = id<base::WorkerId>(7);
    create.owner_node = id<base::NodeId>(0);
    create.wish.bundles.assign(bundles, cpus(1));
    base::Outbox<GroupOutput> todo;
    machine.step(now, std::move(create), todo);
    while (!todo.empty()) {
      base::Outbox<GroupOutput> next;
      for (const GroupOutput& output : todo) {
        ++messages;
        if (const auto* prepare = std::get_if<PrepareBundles>(&output)) {
          machine.step(now, BundlesPrepared{prepare->node, prepare->hold}, next);
        } else if (const auto* commit = std::get_if<CommitBundles>(&output)) {
          machine.step(now, BundlesCommitted{commit->node, commit->hold}, next);
        } else if (const auto* change = std::get_if<GroupChanged>(&output)) {
          result.done += change->view.state == GroupState::kCreated;
        }
      }
      todo = std::move(next);
    }
  }
  result.cpu_us_each = (cpu_us() - start) / groups;
  result.messages_per_node = static_cast<double>(messages) / options.nodes;
  return result;
}

double lease_step_ns(int leases) {
  LeaseLimits limits;
  limits.pool.cores = 64;
  LeaseMachine machine({id<base::NodeId>(1), cpus(64), {}}, limits);
  base::Outbox<LeaseOutput> out;
  const auto job = id<base::JobId>(1);
  const auto owner = id<base::WorkerId>(7);
  base::Time now(std::chrono::seconds(1));
  for (std::uint64_t w = 0; w < 64; ++w)
    machine.step(now, WorkerReady{id<base::WorkerId>(1'000 + w), job, "there"}, out);
  std::uint64_t sequence = 0;
  const double start = cpu_us();
  for (int i = 0; i < leases; ++i) {
    now += std::chrono::microseconds(1);
    out.clear();
    machine.step(now, DemandSet{owner, 0, job, cpus(1), {}, 1, ++sequence}, out);
    base::LeaseId lease;
    for (const LeaseOutput& output : out) {
      if (const auto* grant = std::get_if<Grant>(&output)) lease = grant->lease;
    }
    machine.step(now, GrantAcked{owner, lease}, out);
    machine.step(now, DemandSet{owner, 0, job, cpus(1), {}, 0, ++sequence}, out);
    machine.step(now, LeaseReturned{owner, lease, WorkerFate::kReusable}, out);
  }
  return (cpu_us() - start) * 1'000 / leases / 4;
}

}  // namespace mobula::sim
