// How the parts of the simulated cluster reach each other.

#include <algorithm>
#include <utility>

#include "tests/sim/sched_world.h"

namespace mobula::sim {
using namespace scheduler;

namespace {
constexpr int kTicksAtOnceMax = 50;
}

// Between machines: lost, late, repeated and out of order.
void World::lossy(std::function<void()> deliver) {
  if (rng_.chance(loss_)) {
    ++lost_;
    return;
  }
  const std::uint64_t copies = rng_.chance(repeat_) ? 2 : 1;
  for (std::uint64_t i = 0; i < copies; ++i) {
    const std::uint64_t late = rng_.chance(0.01) ? 20 : 1;
    queue_.after(std::chrono::microseconds(rng_.between(20, 20 + delay_us_max_ * late)), deliver);
  }
}

// Over one connection: in order, nothing lost.
void World::ordered(std::uint64_t from, std::uint64_t to, std::function<void()> deliver) {
  Time& last = links_[{from, to}];
  last = std::max(last + Duration(1), queue_.now() + std::chrono::microseconds(rng_.between(5, 5 + delay_us_max_ / 4)));
  queue_.at(last, std::move(deliver));
}

void World::to_raylet(const base::NodeId& id, LeaseInput input) {
  Node* n = node(id);
  if (!n) return;
  if (n->stopped_until > queue_.now()) {
    return queue_.at(n->stopped_until, [this, id, input = std::move(input)] { to_raylet(id, input); });
  }
  base::Outbox<LeaseOutput> out;
  n->lease->step(queue_.now(), input, out);
  bundles_changed(id, input, out);
  for (LeaseOutput& o : out) route(*n, std::move(o));
  arm_node(id);
}

void World::to_process(const base::WorkerId& id, SubmitInput input) {
  Process* p = process(id);
  if (!p || !p->submit) return;
  if (p->stopped_until > queue_.now()) {
    return queue_.at(p->stopped_until, [this, id, input] { to_process(id, input); });
  }
  base::Outbox<SubmitOutput> out;
  p->submit->step(queue_.now(), input, out);
  for (SubmitOutput& o : out) route(*p, std::move(o));
  arm_process(id);
}

void World::to_gcs(ActorInput input) {
  if (gcs_stopped_until_ > queue_.now()) {
    return queue_.at(gcs_stopped_until_, [this, input = std::move(input)] { to_gcs(input); });
  }
  base::Outbox<ActorOutput> out;
  actors_.step(queue_.now(), std::move(input), out);
  for (ActorOutput& o : out) route_gcs(std::move(o));
  arm_gcs();
}

void World::to_membership(MembershipInput input) {
  if (gcs_stopped_until_ > queue_.now()) {
    return queue_.at(gcs_stopped_until_, [this, input = std::move(input)] { to_membership(input); });
  }
  base::Outbox<MembershipOutput> out;
  membership_.step(queue_.now(), std::move(input), out);
  for (MembershipOutput& o : out) route_membership(std::move(o));
  arm_gcs();
}

void World::route(Node& n, LeaseOutput output) {
  note(n.id.word(0), output);
  const base::NodeId self = n.id;
  const auto owner = [&](const base::WorkerId& id, SubmitInput input) {
    lossy([this, id, input] { to_process(id, input); });
  };
  const auto peer = [&](auto message) {
    const base::NodeId to = std::exchange(message.peer, self);
    lossy([this, to, message] { to_raylet(to, message); });
  };
  const auto anew = [&](const base::WorkerId& worker, const base::LeaseId& lease) {
    Process* w = process(worker);
    if (!w) return;
    if (std::exchange(w->lease, lease) != lease) oracle_.leased_anew(worker);
    if (const SeatBook::Seat* seat = n.lease->seats().find(lease)) w->bundle = seat->bundle;
  };
  std::visit(
      [&](auto& m) {
        using T = std::decay_t<decltype(m)>;
        if constexpr (std::is_same_v<T, DemandAck>) {
          owner(m.owner, DemandAcked{m.key, m.seq});
        } else if constexpr (std::is_same_v<T, Grant>) {
          if (m.node == self) anew(m.worker, m.lease);
          lossy([this, m] {
            if (Process* p = process(m.owner)) grant(*p, m);
          });
        } else if constexpr (std::is_same_v<T, ReturnAck>) {
          owner(m.owner, ReturnAcked{m.lease});
        } else if constexpr (std::is_same_v<T, LeaseLost>) {
          lossy([this, m] {
            if (Process* p = process(m.owner)) lease_lost(*p, m.lease);
          });
        } else if constexpr (std::is_same_v<T, Recall>) {
          lossy([this, m] {
            if (Process* p = process(m.owner)) recall(*p, m.lease);
          });
        } else if constexpr (std::is_same_v<T, Unschedulable>) {
          owner(m.owner, KeyUnschedulable{m.key, m.seq});
        } else if constexpr (std::is_same_v<T, PeerGrant>) {
          anew(m.worker, m.lease);
          peer(m);
        } else if constexpr (requires { m.peer; }) {
          peer(m);
        } else if constexpr (std::is_same_v<T, StartWorkers>) {
          for (std::uint32_t i = 0; i < m.count; ++i) {
            queue_.after(std::chrono::microseconds(rng_.between(200, 8'000)), [this, self, job = m.job] {
              if (!node(self)) return;
              const bool fails = broken_.contains(job) || (faults_on_ && rng_.chance(0.03));
              if (fails) return to_raylet(self, StartFailed{job, 1, "no memory"});
              const base::WorkerId id = add_process(self, job, false);
              to_raylet(self, WorkerReady{id, job, "there"});
            });
          }
        } else if constexpr (std::is_same_v<T, StopWorker>) {
          queue_.after(std::chrono::microseconds(rng_.between(50, 2'000)), [this, m] {
            Process* w = process(m.worker);
            if (!w) return;
            const bool owns = m.mode == StopMode::kDrain && !w->actor && w->open_tasks != 0;
            if (!owns) return kill_process(m.worker, "it was stopped");
            to_raylet(w->node, WorkerReady{w->id, w->job, "there"});
          });
        } else if constexpr (std::is_same_v<T, AvailabilityChanged>) {
          n.published = m.available;
          n.published_version = m.version;
          if (n.joined) lossy([this, self, m] { to_membership(NodeHeartbeat{self, 1, m.version, m.available}); });
        } else if constexpr (std::is_constructible_v<GroupInput, T>) {
          lossy([this, m] { to_groups(m); });
        } else {
          lossy([this, m] { to_gcs(m); });
        }
      },
      output);
}

void World::route(Process& p, SubmitOutput output) {
  note(p.id.word(0), output);
  const base::WorkerId self = p.id;
  const auto raylet = [&](LeaseInput input) { lossy([this, to = p.node, input] { to_raylet(to, input); }); };
  if (const auto* m = std::get_if<Push>(&output)) {
    const Connection& c = p.connections.at(m->worker);
    Exec exec{self, m->task, m->worker, p.tasks.at(m->task)};
    exec.spec.attempt = m->attempt;
    ordered(self.word(0), c.worker.word(0), [this, exec, to = c.worker] { execute(to, exec); });
  } else if (const auto* m = std::get_if<TakeBack>(&output)) {
    const base::WorkerId to = p.connections.at(m->worker).worker;
    ordered(self.word(0), to.word(0), [this, to] {
      if (Process* w = process(to)) give_queue_back(*w);
    });
  } else if (const auto* m = std::get_if<CancelRunning>(&output)) {
    const base::WorkerId to = p.connections.at(m->worker).worker;
    ordered(self.word(0), to.word(0), [this, to, self, task = m->task] {
      Process* w = process(to);
      if (!w) return;
      const auto it = std::find_if(w->queue.begin(), w->queue.end(),
                                   [&](const Exec& e) { return e.owner == self && e.handle == task; });
      if (it == w->queue.end()) return;
      const Exec exec = *it;
      w->queue.erase(it);
      send_result(*w, exec, TaskFinished::Outcome::kDone);
    });
  } else if (const auto* m = std::get_if<SetDemand>(&output)) {
    Strategy strategy = m->key == 5 ? Strategy{Spread{}, {}} : Strategy{};
    if (m->key >= kGroupKeys) strategy.bundle = p.bundles.at(m->key - kGroupKeys);
    raylet(DemandSet{self, m->key, p.job, shape_of(m->key), strategy, m->want, m->seq});
  } else if (const auto* m = std::get_if<AckGrant>(&output)) {
    raylet(GrantAcked{self, m->lease});
  } else if (const auto* m = std::get_if<ReturnLease>(&output)) {
    p.connections.at(m->worker).open = false;
    raylet(LeaseReturned{self, m->lease, m->fate});
  } else if (const auto* m = std::get_if<Fail>(&output)) {
    task_ended(p, m->task);
  }
}

void World::route_gcs(ActorOutput output) {
  note(1, output);
  if (const auto* m = std::get_if<ActorRegistered>(&output)) {
    lossy([this, m = *m] {
      for (auto& [id, p] : processes_) p.unanswered.erase(m.actor);
    });
  } else if (const auto* m = std::get_if<ActorRefused>(&output)) {
    registered_.erase(m->actor);
    lossy([this, m = *m] {
      for (auto& [id, p] : processes_) p.unanswered.erase(m.actor);
    });
  } else if (const auto* m = std::get_if<ActorLease>(&output)) {
    lossy([this, m = *m] { to_raylet(m.node, m); });
  } else if (const auto* m = std::get_if<ActorRelease>(&output)) {
    lossy([this, m = *m] { to_raylet(m.node, m); });
  } else if (const auto* m = std::get_if<StartActor>(&output)) {
    lossy([this, m = *m] {
      if (Process* w = process(m.worker)) start_actor(*w, m);
    });
  } else if (const auto* m = std::get_if<NodeActors>(&output)) {
    to_membership(NodeLabelled{m->node, m->labels});
  }
}

void World::route_membership(MembershipOutput output) {
  note(2, output);
  if (const auto* m = std::get_if<NodeFenced>(&output)) {
    lossy([this, id = m->node] { fenced(id); });
  } else if (const auto* m = std::get_if<NodeChanged>(&output)) {
    for (const auto& [id, n] : nodes_) {
      if (n.alive) lossy([this, id = id, view = m->view] { to_raylet(id, view); });
    }
    to_gcs(m->view);
    to_groups(m->view);
    if (m->view.state != NodeState::kDead) return;
    for (const auto& [id, p] : processes_) {
      if (p.node != m->view.node) continue;
      to_gcs(ActorOwnerGone{id});
      to_groups(GroupOwnerGone{id});
    }
  }
}

template <class Machine>
void World::arm(Timer& timer, const Machine& machine, std::function<void()> tick) {
  const auto next = machine.next_deadline();
  if (next == timer.at) return;
  timer.at = next;
  ++timer.generation;
  if (!next) return;
  Time when = std::max(*next, queue_.now());
  if (*next > queue_.now()) {
    timer.at_once = 0;
  } else if (++timer.at_once > kTicksAtOnceMax) {
    oracle_.require(false, "a machine's deadline stays in the past");
    when = queue_.now() + std::chrono::milliseconds(1);
  }
  queue_.at(when, [&timer, generation = timer.generation, tick = std::move(tick)] {
    if (generation != timer.generation) return;
    timer.at.reset();
    tick();
  });
}

void World::arm_node(const base::NodeId& id) {
  Node& n = nodes_.at(id);
  if ((++steps_ & 63) == 0) valid(n.lease->is_valid(), "LeaseMachine::is_valid");
  arm(n.timer, *n.lease, [this, id] { tick_node(id); });
}

void World::tick_node(const base::NodeId& id) {
  Node* n = node(id);
  if (!n) return;
  if (n->stopped_until > queue_.now()) return queue_.at(n->stopped_until, [this, id] { tick_node(id); });
  base::Outbox<LeaseOutput> out;
  n->lease->tick(queue_.now(), out);
  for (LeaseOutput& o : out) route(*n, std::move(o));
  arm_node(id);
}

void World::arm_process(const base::WorkerId& id) {
  Process& p = processes_.at(id);
  if ((++steps_ & 63) == 0) valid(p.submit->is_valid(), "SubmitMachine::is_valid");
  arm(p.timer, *p.submit, [this, id] { tick_process(id); });
}

void World::tick_process(const base::WorkerId& id) {
  Process* p = process(id);
  if (!p) return;
  if (p->stopped_until > queue_.now()) return queue_.at(p->stopped_until, [this, id] { tick_process(id); });
  base::Outbox<SubmitOutput> out;
  p->submit->tick(queue_.now(), out);
  for (SubmitOutput& o : out) route(*p, std::move(o));
  arm_process(id);
}

void World::arm_gcs() {
  if ((++steps_ & 63) == 0)
    valid(membership_.is_valid() && actors_.is_valid() && groups_.is_valid(), "the GCS's is_valid");
  arm(actors_timer_, actors_, [this] { tick_gcs(); });
  arm(groups_timer_, groups_, [this] { tick_gcs(); });
  arm(membership_timer_, membership_, [this] { tick_gcs(); });
}

void World::tick_gcs() {
  if (gcs_stopped_until_ > queue_.now()) return queue_.at(gcs_stopped_until_, [this] { tick_gcs(); });
  base::Outbox<ActorOutput> actor_out;
  actors_.tick(queue_.now(), actor_out);
  for (ActorOutput& o : actor_out) route_gcs(std::move(o));
  base::Outbox<GroupOutput> group_out;
  groups_.tick(queue_.now(), group_out);
  for (GroupOutput& o : group_out) route_groups(std::move(o));
  base::Outbox<MembershipOutput> out;
  membership_.tick(queue_.now(), out);
  for (MembershipOutput& o : out) route_membership(std::move(o));
  arm_gcs();
}

}  // namespace mobula::sim
