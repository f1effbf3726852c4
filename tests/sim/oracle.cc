#include "tests/sim/oracle.h"

#include <algorithm>
#include <utility>

namespace mobula::sim {

void Oracle::submitted(Task task, const base::WorkerId& owner) {
  require(tasks_.emplace(task, Submitted{owner, 0}).second, "task " + std::to_string(task) + " was submitted twice");
}

void Oracle::ended(Task task) {
  const auto it = tasks_.find(task);
  if (it == tasks_.end()) return violation("a task ended that nobody submitted");
  ++ended_;
  if (++it->second.ended > 1) violation("task " + std::to_string(task) + " ended twice for its owner");
}

void Oracle::owner_died(base::Time now, const base::WorkerId& owner) { dead_owners_.emplace(owner, now); }

void Oracle::node_up(const base::NodeId& node, base::Resources total) { totals_[node] = std::move(total); }

void Oracle::node_down(const base::NodeId& node) {
  totals_.erase(node);
  std::erase_if(running_, [&](const auto& r) { return r.second.node == node; });
  for (auto& [id, group] : groups_) std::erase_if(group.places, [&](const auto& p) { return p.second == node; });
}

void Oracle::leased_anew(const base::WorkerId& worker) { has_waited_.erase(worker); }

void Oracle::begins(base::Time now, const base::NodeId& node, const base::WorkerId& worker, const base::WorkerId& owner,
                    const base::Resources& shape) {
  require(!running_.contains(worker), "worker " + worker.short_hex() + " runs two things at once");
  require(!actor_of_.contains(worker), "a task runs on an actor's worker");
  running_[worker] = {node, owner, shape, false};
  check_node(node);
  const auto dead = dead_owners_.find(owner);
  require(dead == dead_owners_.end() || now - dead->second < kOrphanMax, "a task began long after its owner's death");
}

void Oracle::blocks(const base::WorkerId& worker) {
  if (const auto it = running_.find(worker); it != running_.end()) it->second.blocked = true;
  has_waited_.insert(worker);
}

void Oracle::unblocks(const base::WorkerId& worker) {
  if (const auto it = running_.find(worker); it != running_.end()) it->second.blocked = false;
}

void Oracle::stops_running(const base::WorkerId& worker) { running_.erase(worker); }

// Leases that have waited may hold cpus that were lent meanwhile; all others together fit into the node.
void Oracle::check_node(const base::NodeId& node) {
  const auto total = totals_.find(node);
  if (total == totals_.end()) return;
  base::Resources left = total->second;
  for (const auto& [worker, run] : running_) {
    if (run.node == node && !has_waited_.contains(worker)) left.subtract(run.shape);
  }
  if (left.any_negative())
    violation("node " + node.short_hex() + " runs more than it has: " + left.to_string() + " left");
}

void Oracle::actor_begins(const base::ActorId& actor, const base::WorkerId& worker, std::uint32_t incarnation) {
  // One that has been told to die may overlap with the next for as long as dying takes.
  const auto it = actors_.find(actor);
  require(it == actors_.end() || it->second.second < incarnation,
          "actor " + actor.short_hex() + " is made twice in one incarnation, or an older one comes after");
  actors_[actor] = {worker, incarnation};
  require(actor_of_.emplace(worker, actor).second, "two actors share worker " + worker.short_hex());
}

void Oracle::actor_stops(const base::WorkerId& worker) {
  const auto it = actor_of_.find(worker);
  if (it == actor_of_.end()) return;
  if (const auto a = actors_.find(it->second); a != actors_.end() && a->second.first == worker) actors_.erase(a);
  actor_of_.erase(it);
}

void Oracle::check_no_wait_without_end() {
  for (const auto& [task, s] : tasks_) {
    if (s.ended == 0 && !dead_owners_.contains(s.owner)) {
      violation("task " + std::to_string(task) + " of living owner " + s.owner.short_hex() + " never ended");
    }
  }
}

void Oracle::check_no_orphan_runs(base::Time now) {
  for (const auto& [worker, run] : running_) {
    const auto dead = dead_owners_.find(run.owner);
    if (dead != dead_owners_.end() && now - dead->second >= kOrphanMax) {
      violation("worker " + worker.short_hex() + " runs a task of an owner that died long ago");
    }
  }
}

void Oracle::violation(std::string what) {
  if (violations_.size() < kViolationsMax) violations_.push_back(std::move(what));
}

void Oracle::group_asked(const base::PlacementGroupId& group, std::size_t bundles) { groups_[group].bundles = bundles; }

void Oracle::bundle_reserved(const base::PlacementGroupId& group, std::uint32_t index, const base::NodeId& node) {
  Reserved& r = groups_[group];
  const auto [it, added] = r.places.emplace(index, node);
  // A node that is cut off may hold what is placed anew elsewhere already, until it is fenced.
  if (!added && it->second == node) violation("bundle " + std::to_string(index) + " is reserved twice on one node");
  it->second = node;
  if (r.places.size() == r.bundles && !std::exchange(r.was_complete, true)) ++groups_completed_;
}

void Oracle::bundle_given_up(const base::PlacementGroupId& group, std::uint32_t index, const base::NodeId& node) {
  Reserved& r = groups_[group];
  const auto it = r.places.find(index);
  if (it != r.places.end() && it->second == node) r.places.erase(it);
}

void Oracle::begins_in_bundle(const base::PlacementGroupId& group, std::int32_t, const base::NodeId& node) {
  const auto it = groups_.find(group);
  if (it == groups_.end()) return violation("a task of a group runs outside every bundle");
  if (!it->second.was_complete) violation("a task runs in a group of which a part was never there");
  const auto& places = it->second.places;
  const bool here = std::any_of(places.begin(), places.end(), [&](const auto& p) { return p.second == node; });
  // A bundle that is given up kills its workers; the signal takes a moment.
  if (!here && !places.empty() && places.size() == it->second.bundles) {
    violation("a task of a group runs on a node that has no bundle of it");
  }
}

}  // namespace mobula::sim
