// Placement groups in the simulated cluster.

#include <algorithm>
#include <utility>

#include "tests/sim/sched_world.h"

namespace mobula::sim {
using namespace scheduler;

void World::create_group(Process& owner) {
  CreateGroup r;
  r.group = base::PlacementGroupId::from_words(next_id_, next_id_ * 37, 9, 0);
  ++next_id_;
  r.owner = owner.id;
  r.job = owner.job;
  if (rng_.chance(0.2)) r.name = "group" + std::to_string(rng_.below(3));
  const GroupStrategy strategies[] = {GroupStrategy::kPack, GroupStrategy::kSpread, GroupStrategy::kStrictPack,
                                      GroupStrategy::kStrictSpread};
  r.wish.strategy = strategies[rng_.below(4)];
  r.wish.level = base::LevelName::parse("node");
  const std::uint64_t count = rng_.between(1, 4);
  for (std::uint64_t i = 0; i < count; ++i) {
    base::Resources shape;
    shape.set("cpus", base::Amount::of(static_cast<double>(rng_.between(1, 2))));
    if (rng_.chance(0.2)) shape.set("gpus", base::Amount::of(1));
    r.wish.bundles.push_back(std::move(shape));
  }
  oracle_.group_asked(r.group, r.wish.bundles.size());
  group_ids_.insert(r.group);
  owner.unanswered_groups.insert(r.group);
  trace("group " + r.group.short_hex() + " " + name_of(r.wish.strategy) + " of " + std::to_string(count) + " for " +
        owner.id.short_hex());
  ask_to_create(owner.id, r);
  if (owner.bundles.size() < 8) {
    owner.bundles.push_back(
        {r.group, rng_.chance(0.5) ? BundleRef::kAny : static_cast<std::int32_t>(rng_.below(count))});
    if (owner.bundles.back().index == BundleRef::kAny && rng_.chance(0.3)) owner.bundles.back().index = 0;
  }
  remove_group(r.group);
}

void World::ask_to_create(const base::WorkerId& id, const CreateGroup& r) {
  Process* owner = process(id);
  if (!owner || !owner->unanswered_groups.contains(r.group)) return;
  lossy([this, r] { to_groups(r); });
  queue_.after(std::chrono::milliseconds(300), [this, id, r] { ask_to_create(id, r); });
}

// Each group goes some day: what it holds others wait for, and rightly so.
void World::remove_group(const base::PlacementGroupId& group) {
  queue_.after(std::chrono::milliseconds(rng_.between(1, 1'500)), [this, group] {
    to_groups(RemoveGroup{group});
    const GroupView* view = groups_.find(group);
    if (!owners_gone_ && group_ids_.contains(group) && (!view || !view->is_over())) remove_group(group);
  });
}

void World::to_groups(GroupInput input) {
  if (gcs_stopped_until_ > queue_.now()) {
    return queue_.at(gcs_stopped_until_, [this, input = std::move(input)] { to_groups(input); });
  }
  base::Outbox<GroupOutput> out;
  groups_.step(queue_.now(), std::move(input), out);
  for (GroupOutput& o : out) route_groups(std::move(o));
  arm_gcs();
}

GroupNews World::news_of(const GroupView& view) const {
  GroupNews news{view.group, view.version, {}, view.is_over(), view.why};
  for (const PlacedBundle& b : view.placed) news.places[b.bundle] = b.node;
  news.shapes = view.wish.bundles;
  return news;
}

void World::route_groups(GroupOutput output) {
  note(3, output);
  const auto answered = [this](const base::PlacementGroupId& group) {
    lossy([this, group] {
      for (auto& [id, p] : processes_) p.unanswered_groups.erase(group);
    });
  };
  if (const auto* m = std::get_if<GroupRegistered>(&output)) {
    answered(m->group);
  } else if (const auto* m = std::get_if<GroupRefused>(&output)) {
    // Its tasks wait for a group that nobody will make: the GCS tells them so.
    group_ids_.erase(m->group);
    answered(m->group);
    refused_groups_.push_back({m->group, 1, {}, true, m->why});
  } else if (const auto* m = std::get_if<GroupChanged>(&output)) {
    const GroupNews news = news_of(m->view);
    trace("group " + m->view.group.short_hex() + " state " + std::to_string(static_cast<int>(m->view.state)) + " " +
          m->view.why);
    for (const auto& [id, n] : nodes_) {
      if (n.alive) lossy([this, id = id, news] { to_raylet(id, news); });
    }
    to_gcs(news);
  } else {
    std::visit(
        [this](auto& m) {
          if constexpr (requires { m.node; }) lossy([this, m] { to_raylet(m.node, m); });
        },
        output);
  }
}

// What a raylet has just said yes to, or given up.
void World::bundles_changed(const base::NodeId& node, const LeaseInput& input, const base::Outbox<LeaseOutput>& out) {
  for (const LeaseOutput& o : out) {
    const auto* said = std::get_if<BundlesPrepared>(&o);
    const auto* prepare = std::get_if<PrepareBundles>(&input);
    if (said && prepare && prepared_.emplace(prepare->hold, *prepare).second) {
      for (const HeldBundle& b : prepare->bundles) oracle_.bundle_reserved(prepare->group, b.index, node);
    }
    if (const auto* released = std::get_if<BundlesReleased>(&o)) {
      const auto it = prepared_.find(released->hold);
      if (it == prepared_.end()) continue;
      for (const HeldBundle& b : it->second.bundles) oracle_.bundle_given_up(it->second.group, b.index, node);
      prepared_.erase(it);
    }
  }
}

}  // namespace mobula::sim
