// What the simulated owners and workers do.

#include <algorithm>
#include <utility>

#include "tests/sim/sched_world.h"

namespace mobula::sim {
using namespace scheduler;

base::Resources World::shape_of(KeyIndex key) const {
  base::Resources r;
  if (key >= kGroupKeys) key = 0;
  const double cpus[] = {1, 2, 1, 0.5, 0, 1};
  if (key == 2) r.set("gpus", base::Amount::of(1));
  if (key == 4) r.set("gpus", base::Amount::of(64));
  r.set("cpus", base::Amount::of(cpus[key]));
  return r;
}

void World::submit(Process& owner, std::uint32_t depth) {
  if (!owner.submit) owner.submit = std::make_unique<SubmitMachine>(SubmitLimits{});
  TaskSpec spec;
  spec.id = next_task_++;
  const std::uint64_t kind = rng_.below(100);
  spec.key = kind < 60 ? 0 : kind < 70 ? 1 : kind < 78 ? 2 : kind < 88 ? 3 : kind < 98 ? 5 : 4;
  // A blocked task keeps its gpu: one that waits for a child that needs the same gpu would wait for itself.
  if (depth > 0 && spec.key == 2) spec.key = 0;
  if (!owner.bundles.empty() && rng_.chance(0.3)) {
    spec.key = kGroupKeys + static_cast<KeyIndex>(rng_.below(owner.bundles.size()));
  }
  spec.depth = depth;
  const std::uint64_t length = rng_.below(100);
  spec.run_time = std::chrono::microseconds(length < 70   ? rng_.between(2, 200)
                                            : length < 97 ? rng_.between(200, 10'000)
                                                          : rng_.between(10'000, 300'000));
  spec.children = depth < 2 && rng_.chance(0.1) ? static_cast<std::uint32_t>(rng_.between(1, 4)) : 0;
  spec.retries = rng_.chance(0.3) ? 0 : static_cast<std::uint32_t>(rng_.between(1, 4));
  spec.fails = rng_.chance(0.03);
  TaskHandle handle;
  if (owner.free.empty()) {
    handle = static_cast<TaskHandle>(owner.tasks.size());
    owner.tasks.push_back(spec);
  } else {
    handle = owner.free.back();
    owner.free.pop_back();
    owner.tasks[handle] = spec;
  }
  ++owner.open_tasks;
  oracle_.submitted(spec.id, owner.id);
  trace("submit " + std::to_string(spec.id) + " key " + std::to_string(spec.key) + " by " + owner.id.short_hex());
  to_process(owner.id, Submit{handle, spec.key, spec.retries});
  if (depth == 0 && rng_.chance(0.03)) {
    queue_.after(std::chrono::microseconds(rng_.between(1, 20'000)), [this, id = owner.id, handle, task = spec.id] {
      Process* p = process(id);
      if (p && p->tasks[handle].id == task && !p->tasks[handle].ended) to_process(id, Cancel{handle});
    });
  }
}

void World::task_ended(Process& owner, TaskHandle handle) {
  TaskSpec& spec = owner.tasks.at(handle);
  if (std::exchange(spec.ended, true)) return oracle_.require(false, "an owner heard twice of one end");
  oracle_.ended(spec.id);
  trace("ended " + std::to_string(spec.id));
  owner.free.push_back(handle);
  if (--owner.open_tasks == 0) queue_.after(Duration(1), [this, id = owner.id] { children_done(id); });
}

void World::grant(Process& owner, const Grant& g) {
  auto [it, added] = owner.by_lease.emplace(g.lease, static_cast<WorkerHandle>(owner.connections.size()));
  if (added) owner.connections.push_back({g.lease, g.worker, true});
  trace("grant " + g.lease.short_hex() + " worker " + g.worker.short_hex() + " to " + owner.id.short_hex());
  to_process(owner.id, Granted{g.key, g.lease, it->second, g.seq, g.floor});
}

void World::lease_lost(Process& owner, const base::LeaseId& lease) {
  const auto it = owner.by_lease.find(lease);
  if (it != owner.by_lease.end()) return connection_lost(owner.id, it->second);
  lossy([this, node = owner.node, id = owner.id, lease] {
    to_raylet(node, LeaseReturned{id, lease, WorkerFate::kSpent});
  });
}

void World::recall(Process& owner, const base::LeaseId& lease) {
  if (const auto it = owner.by_lease.find(lease); it != owner.by_lease.end())
    to_process(owner.id, Recalled{it->second});
}

void World::connection_lost(const base::WorkerId& id, WorkerHandle handle) {
  Process* owner = process(id);
  if (!owner || !std::exchange(owner->connections.at(handle).open, false)) return;
  to_process(id, WorkerLost{handle, 0xffff'ffffu});
}

void World::execute(const base::WorkerId& id, const Exec& exec) {
  Process* w = process(id);
  if (!w || w->actor) {
    return ordered(id.word(0), exec.owner.word(0), [this, exec] { connection_lost(exec.owner, exec.seat); });
  }
  if (w->stopped_until > queue_.now()) return queue_.at(w->stopped_until, [this, id, exec] { execute(id, exec); });
  w->queue.push_back(exec);
  if (w->blocked) return give_queue_back(*w);
  run_next(*w);
}

void World::run_next(Process& w) {
  if (w.running || w.queue.empty()) return;
  w.running = std::move(w.queue.front());
  w.queue.pop_front();
  const Exec& exec = *w.running;
  const std::uint64_t run = ++w.run;
  oracle_.begins(queue_.now(), w.node, w.id, exec.owner, shape_of(exec.spec.key));
  if (exec.spec.key >= kGroupKeys) oracle_.begins_in_bundle(w.bundle.group, w.bundle.index, w.node);
  trace("run " + std::to_string(exec.spec.id) + " on " + w.id.short_hex() + " at node " + w.node.short_hex());
  if (exec.spec.children == 0) {
    queue_.after(exec.spec.run_time, [this, id = w.id, run] { finish(id, run); });
    return;
  }
  const std::uint32_t children = exec.spec.children, depth = exec.spec.depth;
  w.blocked = true;
  oracle_.blocks(w.id);
  ordered(w.id.word(0), w.node.word(0), [this, node = w.node, id = w.id] { to_raylet(node, WorkerBlocked{id}); });
  give_queue_back(w);
  for (std::uint32_t i = 0; i < children; ++i) submit(w, depth + 1);
}

void World::children_done(const base::WorkerId& id) {
  Process* w = process(id);
  if (!w || !w->blocked || w->open_tasks != 0) return;
  if (w->stopped_until > queue_.now()) return queue_.at(w->stopped_until, [this, id] { children_done(id); });
  w->blocked = false;
  oracle_.unblocks(id);
  ordered(id.word(0), w->node.word(0), [this, node = w->node, id] { to_raylet(node, WorkerUnblocked{id}); });
  queue_.after(w->running->spec.run_time, [this, id, run = w->run] { finish(id, run); });
}

void World::finish(const base::WorkerId& id, std::uint64_t run) {
  Process* w = process(id);
  if (!w || w->run != run || !w->running) return;
  if (w->stopped_until > queue_.now()) return queue_.at(w->stopped_until, [this, id, run] { finish(id, run); });
  const Exec exec = std::move(*w->running);
  w->running.reset();
  oracle_.stops_running(id);
  send_result(*w, exec,
              exec.spec.fails && exec.spec.attempt == 0 ? TaskFinished::Outcome::kAgain : TaskFinished::Outcome::kDone);
  run_next(*w);
}

void World::send_result(Process& w, const Exec& exec, TaskFinished::Outcome outcome) {
  ordered(w.id.word(0), exec.owner.word(0), [this, exec, outcome] { result(exec, outcome); });
}

void World::result(const Exec& exec, TaskFinished::Outcome outcome) {
  Process* owner = process(exec.owner);
  if (!owner) return;
  if (owner->stopped_until > queue_.now())
    return queue_.at(owner->stopped_until, [this, exec, outcome] { result(exec, outcome); });
  if (!owner->connections.at(exec.seat).open) return;  // What a closed connection still brings is dropped.
  // A lease is given back only when nothing is in flight, so an open connection's result is a current one.
  to_process(exec.owner, TaskFinished{exec.seat, exec.handle, exec.spec.run_time, outcome});
  if (outcome == TaskFinished::Outcome::kDone) task_ended(*owner, exec.handle);
}

// Newest first, so that the owner puts them back in order.
void World::give_queue_back(Process& w) {
  while (!w.queue.empty()) {
    const Exec exec = w.queue.back();
    w.queue.pop_back();
    ordered(w.id.word(0), exec.owner.word(0), [this, exec] {
      Process* owner = process(exec.owner);
      if (owner && owner->connections.at(exec.seat).open) to_process(exec.owner, TaskReturned{exec.seat, exec.handle});
    });
  }
}

void World::start_actor(Process& w, const StartActor& start) {
  const auto answer = [this, start, throws = start.actor.word(0) % 11 == 0] {
    if (throws) return lossy([this, start] { to_gcs(ActorStartFailed{start.actor, start.lease, "it threw"}); });
    lossy([this, start] { to_gcs(ActorStarted{start.actor, start.lease, ""}); });
  };
  if (w.actor) {
    if (w.started && *w.actor == start.actor && w.incarnation == start.incarnation) answer();
    return;
  }
  w.actor = start.actor;
  w.incarnation = start.incarnation;
  oracle_.actor_begins(start.actor, w.id, start.incarnation);
  queue_.after(std::chrono::microseconds(rng_.between(100, 20'000)), [this, id = w.id, answer] {
    Process* p = process(id);
    if (!p) return;
    p->started = true;
    answer();
  });
}

void World::register_actor(Process& owner) {
  RegisterActor r;
  r.actor = base::ActorId::from_words(next_id_, next_id_ * 31, 7, 0);
  ++next_id_;
  r.owner = owner.id;
  r.job = owner.job;
  r.owner_node = owner.node;
  r.max_restarts = static_cast<std::uint32_t>(rng_.below(3));
  if (rng_.chance(0.3)) r.name = "name" + std::to_string(rng_.below(4));
  if (rng_.chance(0.3)) r.shape.set("cpus", base::Amount::of(0.1));
  owner.unanswered.insert(r.actor);
  registered_.insert(r.actor);
  ask_to_register(owner.id, r);
  // What holds cpus must end some day, else whoever wants the whole node waits for ever, and rightly so.
  const bool ends = !r.shape.empty();
  if (!ends && rng_.chance(0.5)) return;
  const auto mode = !ends && rng_.chance(0.5) ? KillActor::Restart::kAllowed : KillActor::Restart::kNever;
  kill_actor(r.actor, mode, ends);
}

void World::kill_actor(const base::ActorId& actor, KillActor::Restart mode, bool until_dead) {
  queue_.after(std::chrono::milliseconds(rng_.between(1, 500)), [this, actor, mode, until_dead] {
    to_gcs(KillActor{actor, mode});
    const ActorView* view = actors_.find(actor);
    if (until_dead && !owners_gone_ && (!view || view->state != ActorState::kDead)) {
      kill_actor(actor, mode, until_dead);
    }
  });
}

void World::ask_to_register(const base::WorkerId& id, const RegisterActor& r) {
  Process* owner = process(id);
  if (!owner || !owner->unanswered.contains(r.actor)) return;
  lossy([this, r] { to_gcs(r); });
  queue_.after(std::chrono::milliseconds(300), [this, id, r] { ask_to_register(id, r); });
}

}  // namespace mobula::sim
