#include "tests/sim/sched_world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace mobula::sim {
using namespace scheduler;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

World::World(WorldOptions options)
    : options_(options),
      rng_(options.seed),
      membership_(MembershipLimits{}),
      actors_(options.seed, ActorLimits{}),
      groups_(options.seed + 1, GroupLimits{}) {
  const double losses[] = {0, 0.01, 0.05, 0.2};
  loss_ = losses[rng_.below(4)];
  repeat_ = losses[rng_.below(4)];
  delay_us_max_ = rng_.between(50, 3'000);
  fault_every_ = milliseconds(rng_.between(20, 500));
}

World::~World() = default;

void World::run() {
  const std::uint64_t nodes = rng_.between(1, 4);
  for (std::uint64_t i = 0; i < nodes; ++i) add_node();
  queue_.run_until(queue_.now() + milliseconds(300));
  const std::uint64_t drivers = rng_.between(1, 3);
  for (std::uint64_t i = 0; i < drivers; ++i) add_driver();
  if (fault_every_ > milliseconds(60)) queue_.after(fault_every_, [this] { fault(); });
  queue_.run_until(queue_.now() + seconds(2));
  heal();
  for (int s = 0; s < 60 && !all_is_done(); ++s) queue_.run_until(queue_.now() + seconds(1));
  describe();
  oracle_.check_no_wait_without_end();
  for (const base::ActorId& id : registered_) {
    const ActorView* view = actors_.find(id);
    if (!view) continue;  // Its owner died before the GCS heard of it.
    const bool settled = (view->state == ActorState::kAlive || view->state == ActorState::kDead);
    oracle_.require(settled || owners_gone_, "actor " + id.short_hex() + " is neither alive nor dead");
    const bool broken = broken_.contains(view->job);
    oracle_.require(!broken || view->state == ActorState::kDead, "actor " + id.short_hex() + " lives without a worker");
    oracle_.require(broken || view->end != ActorEnd::kStartFailed, "actor " + id.short_hex() + " was given up");
    given_up_ += view->end == ActorEnd::kStartFailed;
  }
  for (const base::PlacementGroupId& id : group_ids_) {
    const GroupView* view = groups_.find(id);
    if (!view) continue;
    oracle_.require(view->is_over() || view->state == GroupState::kCreated || owners_gone_,
                    "group " + id.short_hex() + " is neither created nor over: " + view->why);
  }
  end_drivers();
  queue_.run_until(queue_.now() + seconds(15));
  oracle_.check_no_orphan_runs(queue_.now());
  check_empty();
}

bool World::all_is_done() const {
  for (const auto& [id, p] : processes_) {
    if (p.alive && (p.open_tasks != 0 || !p.unanswered.empty() || !p.unanswered_groups.empty())) return false;
  }
  for (const base::PlacementGroupId& id : group_ids_) {
    const GroupView* view = groups_.find(id);
    if (view && !view->is_over() && view->state != GroupState::kCreated) return false;
  }
  for (const base::ActorId& id : registered_) {
    const ActorView* view = actors_.find(id);
    if (view && view->state != ActorState::kAlive && view->state != ActorState::kDead) return false;
  }
  return true;
}

void World::describe() {
  for (const auto& [id, n] : nodes_) {
    if (!n.alive) continue;
    const auto c = n.lease->counts();
    trace("raylet " + id.short_hex() + " available " + n.lease->available().to_string() + " leases " +
          std::to_string(c.leases) + " away " + std::to_string(c.away) + " waiting " + std::to_string(c.waiting_slots) +
          " workers " + std::to_string(c.workers) + " starting " + std::to_string(c.starting_workers));
  }
  for (const auto& [id, p] : processes_) {
    if (!p.alive) continue;
    std::string text =
        "process " + id.short_hex() + " at " + p.node.short_hex() + " open tasks " + std::to_string(p.open_tasks);
    if (p.running) text += " runs " + std::to_string(p.running->spec.id) + (p.blocked ? " blocked" : "");
    if (p.actor) text += " is actor " + p.actor->short_hex();
    if (p.submit) {
      const auto c = p.submit->counts();
      text += " waiting " + std::to_string(c.waiting) + " in flight " + std::to_string(c.in_flight) + " leases " +
              std::to_string(c.leases) + " backing off " + std::to_string(c.backing_off);
    }
    trace(text);
  }
}

void World::add_node() {
  const auto id = base::NodeId::from_words(next_id_, next_id_ * 17, 1, 0);
  ++next_id_;
  Node& n = nodes_[id];
  n.id = id;
  n.total.set("cpus", base::Amount::of(static_cast<double>(rng_.between(1, 4))));
  n.total.set("gpus", base::Amount::of(static_cast<double>(rng_.below(2))));
  LeaseLimits limits;
  limits.pool.cores = 2;
  n.lease = std::make_unique<LeaseMachine>(LeaseMachine::Self{id, n.total, {}}, limits);
  oracle_.node_up(id, n.total);
  trace("node " + id.short_hex() + " has " + n.total.to_string());
  join(id);
  heartbeat(id);
}

void World::join(const base::NodeId& id) {
  Node* n = node(id);
  if (!n || n->joined) return;
  lossy([this, id, total = n->total] {
    to_membership(NodeRegistered{id, 1, "there", total, {}});
    lossy([this, id] {
      if (Node* m = node(id)) m->joined = true;
    });
  });
  queue_.after(milliseconds(100), [this, id] { join(id); });
}

void World::heartbeat(const base::NodeId& id) {
  Node* n = node(id);
  if (!n) return;
  queue_.after(milliseconds(200), [this, id] { heartbeat(id); });
  if (!n->joined || n->stopped_until > queue_.now()) return;
  lossy([this, id, version = n->published_version, available = n->published_version ? n->published : n->total,
         known = n->view_version] {
    to_membership(NodeHeartbeat{id, 1, version, available});
    if (gcs_stopped_until_ > queue_.now()) return;
    const std::uint64_t newest = membership_.version();
    lossy([this, id, changes = membership_.changes_since(known), newest] {
      for (const NodeChanged& c : changes) to_raylet(id, c.view);
      groups_.each([&](const GroupView& view) { to_raylet(id, news_of(view)); });
      for (const GroupNews& news : refused_groups_) to_raylet(id, news);
      if (Node* m = node(id)) m->view_version = std::max(m->view_version, newest);
    });
  });
}

base::WorkerId World::add_process(const base::NodeId& at, const base::JobId& job, bool driver) {
  const auto id = base::WorkerId::from_words(next_id_, next_id_ * 13, 2, 0);
  ++next_id_;
  Process& p = processes_[id];
  p.id = id;
  p.node = at;
  p.job = job;
  p.driver = driver;
  nodes_.at(at).processes.insert(id);
  return id;
}

void World::add_driver() {
  std::vector<base::NodeId> alive;
  for (const auto& [id, n] : nodes_) {
    if (n.alive) alive.push_back(id);
  }
  if (alive.empty()) return;
  const base::NodeId at = alive[rng_.below(alive.size())];
  const auto job = base::JobId::from_words(next_id_++, 5, 3, 0);
  const base::WorkerId id = add_process(at, job, true);
  if (job.word(0) % 9 == 0) broken_.insert(job);
  if (rng_.chance(0.5)) to_raylet(at, JobStarted{job});
  driver_life(id);
}

void World::driver_life(const base::WorkerId& id) {
  Process* p = process(id);
  if (!p || !faults_on_) return;
  const std::uint64_t batch = rng_.chance(0.1) ? rng_.between(30, 200) : rng_.between(1, 10);
  // That their tasks end is not the machines' doing.
  for (std::uint64_t i = 0; i < batch && !broken_.contains(p->job); ++i) submit(*p, 0);
  if (rng_.chance(0.1)) register_actor(*p);
  if (rng_.chance(0.1)) create_group(*p);
  queue_.after(microseconds(rng_.between(100, 60'000)), [this, id] { driver_life(id); });
}

void World::kill_process(const base::WorkerId& id, const std::string& cause) {
  Process* p = process(id);
  if (!p) return;
  p->alive = false;
  trace("process " + id.short_hex() + " dies: " + cause);
  oracle_.stops_running(id);
  oracle_.actor_stops(id);
  oracle_.owner_died(queue_.now(), id);
  Node& n = nodes_.at(p->node);
  n.processes.erase(id);
  if (n.alive) {
    const bool driver = p->driver;
    ordered(id.word(0), n.id.word(0), [this, at = n.id, id, driver, cause] {
      if (driver) to_raylet(at, OwnerGone{id});
      if (!driver) to_raylet(at, WorkerGone{id, cause});
      if (!node(at)) return;
      ordered(at.word(0), 1, [this, id] {
        to_gcs(ActorOwnerGone{id});
        to_groups(GroupOwnerGone{id});
      });
    });
  }
  for (auto& [other, o] : processes_) {
    if (!o.alive) continue;
    for (std::size_t h = 0; h < o.connections.size(); ++h) {
      if (!o.connections[h].open || o.connections[h].worker != id) continue;
      ordered(id.word(0), other.word(0),
              [this, other = other, h] { connection_lost(other, static_cast<WorkerHandle>(h)); });
    }
  }
  p->queue.clear();
  p->running.reset();
}

void World::kill_node(const base::NodeId& id, const std::string& cause) {
  Node* n = node(id);
  if (!n) return;
  trace("node " + id.short_hex() + " dies: " + cause);
  n->alive = false;
  const auto processes = n->processes;
  for (const base::WorkerId& p : processes) kill_process(p, "its node died");
  oracle_.node_down(id);
  std::erase_if(prepared_, [&](const auto& p) { return p.second.node == id; });
  queue_.after(milliseconds(rng_.between(1, 50)), [this, id] { to_membership(NodeConnectionClosed{id, 1}); });
  queue_.after(milliseconds(rng_.between(100, 1000)), [this] { add_node(); });
}

void World::fenced(const base::NodeId& id) {
  Node* n = node(id);
  if (!n || !n->joined) return;
  if (n->stopped_until > queue_.now()) return queue_.at(n->stopped_until, [this, id] { fenced(id); });
  kill_node(id, "it was fenced");
}

// What waits for a stopped process is served in order only if the stop's end does not move.
bool World::halt(Time& stopped_until, Time end) {
  if (stopped_until > queue_.now()) return false;
  stopped_until = end;
  return true;
}

void World::fault() {
  if (!faults_on_) return;
  queue_.after(fault_every_ / 2 + microseconds(rng_.below(static_cast<std::uint64_t>(fault_every_ / microseconds(1)))),
               [this] { fault(); });
  std::vector<base::WorkerId> workers, drivers;
  std::vector<base::NodeId> nodes;
  for (const auto& [id, p] : processes_) {
    if (p.alive) (p.driver ? drivers : workers).push_back(id);
  }
  for (const auto& [id, n] : nodes_) {
    if (n.alive) nodes.push_back(id);
  }
  const std::uint64_t kind = rng_.below(100);
  const auto stop = queue_.now() + milliseconds(rng_.chance(0.1) ? rng_.between(3'000, 8'000) : rng_.between(5, 800));
  if (kind < 45 && !workers.empty()) {
    kill_process(workers[rng_.below(workers.size())], "signal 9");
  } else if (kind < 50 && !drivers.empty()) {
    kill_process(drivers[rng_.below(drivers.size())], "signal 9");
    add_driver();
  } else if (kind < 57 && !nodes.empty()) {
    kill_node(nodes[rng_.below(nodes.size())], "power");
  } else if (kind < 75 && !nodes.empty()) {
    Node& n = nodes_.at(nodes[rng_.below(nodes.size())]);
    if (halt(n.stopped_until, stop)) trace("raylet " + n.id.short_hex() + " is stopped");
  } else if (kind < 90 && !workers.empty()) {
    halt(processes_.at(workers[rng_.below(workers.size())]).stopped_until, stop);
  } else if (kind < 95 && !drivers.empty()) {
    halt(processes_.at(drivers[rng_.below(drivers.size())]).stopped_until, stop);
  } else {
    halt(gcs_stopped_until_, queue_.now() + milliseconds(rng_.between(10, 2'000)));
  }
}

void World::heal() {
  faults_on_ = false;
  loss_ = repeat_ = 0;
  trace("healed");
}

void World::end_drivers() {
  owners_gone_ = true;
  std::vector<base::WorkerId> drivers;
  for (const auto& [id, p] : processes_) {
    if (p.alive && p.driver) drivers.push_back(id);
  }
  for (const base::WorkerId& id : drivers) kill_process(id, "its program ended");
}

// With all owners gone nothing may be held by anyone.
void World::check_empty() {
  for (const auto& [id, n] : nodes_) {
    if (!n.alive) continue;
    const std::string who = "raylet " + id.short_hex();
    const bool whole = n.published.empty() || n.published == n.total;
    oracle_.require(whole, who + " says that something is still taken: " + n.published.to_string());
    if (!options_.ask_machines) continue;
    const auto c = n.lease->counts();
    oracle_.require(n.lease->is_valid(), who + ": is_valid");
    oracle_.require(c.leases == 0, who + " holds " + std::to_string(c.leases) + " leases");
    oracle_.require(c.away == 0, who + " has " + std::to_string(c.away) + " leases away");
    oracle_.require(c.waiting_slots == 0, who + " has demands of the dead");
    oracle_.require(n.lease->available() == n.total, who + " has lost resources: " + n.lease->available().to_string());
  }
  valid(membership_.is_valid() && actors_.is_valid() && groups_.is_valid(), "the GCS's is_valid");
  groups_.each([&](const GroupView& view) {
    oracle_.require(view.is_over(), "group " + view.group.short_hex() + " outlives its owner");
  });
}

World::Process* World::process(const base::WorkerId& id) {
  const auto it = processes_.find(id);
  return it == processes_.end() || !it->second.alive ? nullptr : &it->second;
}

World::Node* World::node(const base::NodeId& id) {
  const auto it = nodes_.find(id);
  return it == nodes_.end() || !it->second.alive ? nullptr : &it->second;
}

// What a machine thinks of itself.
void World::valid(bool is, const char* what) {
  if (options_.ask_machines) oracle_.require(is, what);
}

void World::trace(const std::string& text) {
  if (!options_.trace) return;
  const auto us = queue_.now().time_since_epoch() / microseconds(1);
  std::printf("%10lld %s\n", static_cast<long long>(us), text.c_str());
}

}  // namespace mobula::sim
