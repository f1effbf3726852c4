#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "scheduler/actor.h"
#include "scheduler/group.h"
#include "scheduler/lease.h"
#include "scheduler/membership.h"
#include "scheduler/submit.h"
#include "tests/sim/event_queue.h"
#include "tests/sim/oracle.h"

namespace mobula::sim {

// A cluster of real scheduling machines under a network, processes and clocks that are made up: one GCS, some raylets,
// drivers and workers, with messages lost, repeated and reordered, processes and nodes killed and stopped.
struct WorldOptions {
  std::uint64_t seed = 1;
  bool trace = false;
  bool ask_machines = true;  // Whether their own is_valid() and books count; else only what is seen from outside.
};

class World {
 public:
  explicit World(WorldOptions options);
  ~World();

  // Faults and work, then healing, then the end of all drivers.  What the oracle found is in oracle().
  void run();

  const Oracle& oracle() const { return oracle_; }
  std::uint64_t given_up() const { return given_up_; }  // Actors of programs that start nowhere.
  std::uint64_t digest() const { return digest_; }      // Of each machine's outputs, in order.
  std::uint64_t events() const { return queue_.ran(); }
  std::uint64_t lost() const { return lost_; }

 private:
  using Time = base::Time;
  using Duration = base::Duration;

  // A machine's next tick.
  struct Timer {
    std::optional<Time> at;
    std::uint64_t generation = 0;
    Time last{};
    int at_once = 0;
  };
  struct TaskSpec {
    Oracle::Task id = 0;
    scheduler::KeyIndex key = 0;
    Duration run_time{};
    std::uint32_t children = 0;
    std::uint32_t depth = 0;
    std::uint32_t retries = 0;
    bool fails = false;  // At its first attempt, with an error that may be retried.
    std::uint32_t attempt = 0;
    bool ended = false;
  };
  struct Exec {  // A task with a worker.
    base::WorkerId owner;
    scheduler::TaskHandle handle = 0;
    scheduler::WorkerHandle seat = 0;  // The owner's name of the worker.
    TaskSpec spec;
  };
  struct Connection {
    base::LeaseId lease;
    base::WorkerId worker;
    bool open = false;
  };
  struct Process {
    base::WorkerId id;
    base::NodeId node;
    base::JobId job;
    bool driver = false;
    bool alive = true;
    Time stopped_until{};
    // As an owner.
    std::unique_ptr<scheduler::SubmitMachine> submit;
    Timer timer;
    std::vector<TaskSpec> tasks;  // By handle.
    std::vector<scheduler::TaskHandle> free;
    std::size_t open_tasks = 0;
    std::vector<Connection> connections;  // By worker handle.
    std::map<base::LeaseId, scheduler::WorkerHandle> by_lease;
    std::set<base::ActorId> unanswered;  // Registrations.
    std::set<base::PlacementGroupId> unanswered_groups;
    std::vector<scheduler::BundleRef> bundles;  // That its tasks run in: those of keys from kGroupKeys on.
    // As a worker.
    std::deque<Exec> queue;
    std::optional<Exec> running;
    std::uint64_t run = 0;  // Tells a run from the next.
    bool blocked = false;
    std::optional<base::ActorId> actor;
    std::uint32_t incarnation = 0;
    base::LeaseId lease;          // The last one.
    scheduler::BundleRef bundle;  // Of that lease.
    bool started = false;
  };
  struct Node {
    base::NodeId id;
    base::Resources total;
    bool alive = true;
    Time stopped_until{};
    std::unique_ptr<scheduler::LeaseMachine> lease;
    Timer timer;
    std::set<base::WorkerId> processes;
    bool joined = false;
    std::uint64_t view_version = 0;
    base::Resources published;
    std::uint64_t published_version = 0;
  };

  // sched_world.cc: the stage.
  void add_node();
  base::WorkerId add_process(const base::NodeId& node, const base::JobId& job, bool driver);
  void kill_process(const base::WorkerId& id, const std::string& cause);
  void kill_node(const base::NodeId& id, const std::string& cause);
  void fenced(const base::NodeId& id);
  void fault();
  bool halt(Time& stopped_until, Time end);
  void add_driver();
  void join(const base::NodeId& id);
  void driver_life(const base::WorkerId& id);
  void heartbeat(const base::NodeId& id);
  void heal();
  bool all_is_done() const;
  void describe();  // To the trace.
  void end_drivers();
  void check_empty();
  void trace(const std::string& text);
  void valid(bool is, const char* what);
  template <class Output>
  void note(std::uint64_t who, const Output& output) {
    const auto when = static_cast<std::uint64_t>(queue_.now().time_since_epoch().count());
    digest_ = base::mix64(digest_ ^ when ^ (who * 3) ^ (output.index() << 56));
  }

  // sched_network.cc: who is reached how.
  void lossy(std::function<void()> deliver);
  void ordered(std::uint64_t from, std::uint64_t to, std::function<void()> deliver);
  void to_raylet(const base::NodeId& node, scheduler::LeaseInput input);
  void to_process(const base::WorkerId& id, scheduler::SubmitInput input);
  void to_gcs(scheduler::ActorInput input);
  void to_membership(scheduler::MembershipInput input);
  void route(Node& node, scheduler::LeaseOutput output);
  void route(Process& process, scheduler::SubmitOutput output);
  void route_gcs(scheduler::ActorOutput output);
  void route_membership(scheduler::MembershipOutput output);
  template <class Machine>
  void arm(Timer& timer, const Machine& machine, std::function<void()> tick);
  void arm_node(const base::NodeId& id);
  void arm_process(const base::WorkerId& id);
  void arm_gcs();
  void tick_node(const base::NodeId& id);
  void tick_process(const base::WorkerId& id);
  void tick_gcs();

  // sched_process.cc: what owners and workers do.
  void submit(Process& owner, std::uint32_t depth);
  void grant(Process& owner, const scheduler::Grant& grant);
  void lease_lost(Process& owner, const base::LeaseId& lease);
  void recall(Process& owner, const base::LeaseId& lease);
  void connection_lost(const base::WorkerId& owner, scheduler::WorkerHandle handle);
  void task_ended(Process& owner, scheduler::TaskHandle handle);
  void execute(const base::WorkerId& worker, const Exec& exec);
  void run_next(Process& worker);
  void children_done(const base::WorkerId& worker);
  void finish(const base::WorkerId& worker, std::uint64_t run);
  void send_result(Process& worker, const Exec& exec, scheduler::TaskFinished::Outcome outcome);
  void result(const Exec& exec, scheduler::TaskFinished::Outcome outcome);
  void give_queue_back(Process& worker);
  void start_actor(Process& worker, const scheduler::StartActor& start);
  void register_actor(Process& owner);
  void kill_actor(const base::ActorId& actor, scheduler::KillActor::Restart mode, bool until_dead);
  void ask_to_register(const base::WorkerId& owner, const scheduler::RegisterActor& request);
  base::Resources shape_of(scheduler::KeyIndex key) const;

  // sched_groups.cc: placement groups that come and go.
  static constexpr scheduler::KeyIndex kGroupKeys = 6;
  void create_group(Process& owner);
  void ask_to_create(const base::WorkerId& owner, const scheduler::CreateGroup& request);
  void remove_group(const base::PlacementGroupId& group);
  void to_groups(scheduler::GroupInput input);
  void route_groups(scheduler::GroupOutput output);
  void bundles_changed(const base::NodeId& node, const scheduler::LeaseInput& input,
                       const base::Outbox<scheduler::LeaseOutput>& out);
  scheduler::GroupNews news_of(const scheduler::GroupView& view) const;

  Process* process(const base::WorkerId& id);  // Null when dead.
  Node* node(const base::NodeId& id);          // Null when dead.

  const WorldOptions options_;
  Rng rng_;
  EventQueue queue_;
  Oracle oracle_;
  std::uint64_t digest_ = 0, lost_ = 0, next_id_ = 1, next_task_ = 1;
  std::uint64_t steps_ = 0;
  double loss_ = 0, repeat_ = 0;
  std::uint64_t delay_us_max_ = 0;
  Duration fault_every_{};
  bool faults_on_ = true, owners_gone_ = false;
  std::map<base::NodeId, Node> nodes_;
  std::map<base::WorkerId, Process> processes_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, Time> links_;
  scheduler::MembershipMachine membership_;
  scheduler::ActorMachine actors_;
  scheduler::GroupMachine groups_;
  Timer membership_timer_, actors_timer_, groups_timer_;
  std::set<base::PlacementGroupId> group_ids_;
  std::vector<scheduler::GroupNews> refused_groups_;
  std::map<base::LeaseId, scheduler::PrepareBundles> prepared_;  // What raylets said yes to.
  Time gcs_stopped_until_{};
  std::set<base::ActorId> registered_;
  std::set<base::JobId> broken_;  // Their workers start nowhere.
  std::uint64_t given_up_ = 0;
};

}  // namespace mobula::sim
