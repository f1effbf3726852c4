#include "scheduler/cluster_view.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace mobula::scheduler {
namespace {

// How full the node is where it is fullest, in 1/1000.
std::int64_t used_permille(const base::Resources& all, const base::Resources& room) {
  std::int64_t most = 0;
  for (const auto& [name, total] : all.all()) {
    if (total.units <= 0) continue;
    const std::int64_t used = total.units - room.get(name).units;
    // Memory is counted in bytes * 10000: divide first where the product would overflow.
    const std::int64_t share =
        total.units > (std::int64_t{1} << 50) ? used / (total.units / 1000) : used * 1000 / total.units;
    most = std::max(most, share);
  }
  return most;
}

bool avoided(const base::NodeId& node, const ClusterView::Wish& wish) {
  return wish.avoid != nullptr && wish.avoid->contains(node);
}

}  // namespace

bool ClusterView::apply(const NodeView& view) {
  if (const auto dead = dead_.find(view.node); dead != dead_.end()) {
    if (view.version <= dead->second || view.state == NodeState::kDead) return false;
    dead_.erase(dead);
  }
  const auto it = nodes_.find(view.node);
  if (it != nodes_.end() && it->second.version >= view.version) return false;
  if (view.state == NodeState::kDead) {
    ++shape_version_;
    nodes_.erase(view.node);
    refused_.erase(view.node);
    assumed_.erase(view.node);
    reindex(now_, view.node);
    dead_.emplace(view.node, view.version);
    if (dead_.size() > limits_.dead_max) {
      dead_.erase(std::min_element(dead_.begin(), dead_.end(),
                                   [](const auto& a, const auto& b) { return a.second < b.second; }));
    }
    return true;
  }
  if (it == nodes_.end()) {
    if (nodes_.size() >= limits_.nodes_max) return false;
    ++shape_version_;
    nodes_.emplace(view.node, view);
    reindex(now_, view.node);
    return true;
  }
  if (it->second.total != view.total || it->second.labels != view.labels) ++shape_version_;
  it->second = view;
  refused_.erase(view.node);
  assumed_.erase(view.node);
  reindex(now_, view.node);
  return true;
}

const NodeView* ClusterView::find(const base::NodeId& node) const {
  const auto it = nodes_.find(node);
  return it == nodes_.end() ? nullptr : &it->second;
}

bool ClusterView::apply(const GroupNews& news) {
  GroupNews& known = groups_[news.group];
  if (known.over || (known.version != 0 && known.version >= news.version)) return false;
  known = news;
  ++shape_version_;
  if (!news.over) return true;
  known.places.clear();
  groups_over_.push_back(news.group);
  if (groups_over_.size() > limits_.groups_over_max) {
    groups_.erase(groups_over_.front());
    groups_over_.pop_front();
  }
  return true;
}

void ClusterView::set_actors(const base::NodeId& node, const ActorLabels& actors) {
  if (const auto it = nodes_.find(node); it != nodes_.end()) it->second.actors = actors;
}

bool ClusterView::has_bundle(const base::NodeId& node, const BundleRef& bundle) const {
  const auto it = groups_.find(bundle.group);
  if (it == groups_.end()) return false;
  const auto& places = it->second.places;
  if (bundle.index == BundleRef::kAny) {
    return std::any_of(places.begin(), places.end(), [&](const auto& p) { return p.second == node; });
  }
  const auto place = places.find(static_cast<std::uint32_t>(bundle.index));
  return place != places.end() && place->second == node;
}

void ClusterView::assume(base::Time now, const base::NodeId& node, const base::Resources& taken) {
  if (!nodes_.contains(node)) return;
  auto& [at, all] = assumed_[node];
  if (at + limits_.assumed_for <= now) all = {};
  at = now;
  all.add(taken);
  reindex(now, node);
}

void ClusterView::refused(base::Time now, const base::NodeId& node) {
  assumed_.erase(node);
  if (nodes_.contains(node)) refused_[node] = now;
  reindex(now, node);
}

void ClusterView::set_available(const base::NodeId& node, const base::Resources& available) {
  const auto it = nodes_.find(node);
  if (it == nodes_.end() || it->second.available == available) return;
  it->second.available = available;
  reindex(now_, node);
}

// What was guessed of a node and is over.
void ClusterView::wear_off(base::Time now) {
  while (const auto node = wears_off_.pop_due(now)) reindex(now, *node);
  now_ = now;
}

void ClusterView::reindex(base::Time now, const base::NodeId& node) {
  const auto it = nodes_.find(node);
  std::optional<base::Time> until;
  const auto no = refused_.find(node);
  const bool refuses = no != refused_.end() && no->second + limits_.refused_for > now;
  if (refuses) until = no->second + limits_.refused_for;
  const auto guess = assumed_.find(node);
  if (guess != assumed_.end() && guess->second.first + limits_.assumed_for > now) {
    until = base::earlier(until, guess->second.first + limits_.assumed_for);
  }
  if (it != nodes_.end() && until) {
    wears_off_.set(node, *until);
  } else {
    wears_off_.clear(node);
  }
  if (it != nodes_.end() && it->second.state == NodeState::kAlive && !refuses) {
    const base::Resources free = room(now, it->second);
    if (free.get("cpus").units > 0) return index_.set(node, used_permille(it->second.total, free));
  }
  index_.erase(node);
}

base::Resources ClusterView::room(base::Time now, const NodeView& view) const {
  base::Resources room = view.available;
  const auto it = assumed_.find(view.node);
  if (it != assumed_.end() && it->second.first + limits_.assumed_for > now) room.subtract(it->second.second);
  return room;
}

bool ClusterView::could_take(base::Time now, const NodeView& view, const Wish& wish) const {
  if (view.state != NodeState::kAlive || view.node == wish.skip || avoided(view.node, wish)) return false;
  if (!wish.strategy.allows(view.node, view.labels) || !wish.strategy.allows_beside(view.actors)) return false;
  // What is free in a bundle only its own node knows.
  if (wish.strategy.bundle ? !has_bundle(view.node, wish.strategy.bundle) : !room(now, view).covers(wish.shape)) {
    return false;
  }
  const auto no = refused_.find(view.node);
  return no == refused_.end() || no->second + limits_.refused_for <= now;
}

std::optional<base::NodeId> ClusterView::pick(base::Time now, const Wish& wish) {
  wear_off(now);
  if (const auto* affinity = std::get_if<NodeAffinity>(&wish.strategy.placement)) {
    const NodeView* view = find(affinity->node);
    const bool serves = view && view->total.covers(wish.shape) && wish.strategy.allows(view->node, view->labels) &&
                        !avoided(affinity->node, wish);
    if (serves) return could_take(now, *view, wish) ? std::optional(view->node) : std::nullopt;
    if (affinity->force == NodeAffinity::Force::kHard) return std::nullopt;
  }
  // Whom others or a bundle's place tell, and what takes no cpus, is looked for among all.
  const bool indexed = wish.shape.get("cpus").units > 0 && wish.strategy.fallbacks.empty() && !wish.strategy.bundle;
  if (!indexed) return pick_among_all(now, wish);
  const auto fits = [&](const base::NodeId& node) { return could_take(now, nodes_.at(node), wish); };
  const bool spread = std::holds_alternative<Spread>(wish.strategy.placement);
  return spread ? index_.spread(wish.home, fits) : index_.pack(wish.home, fits);
}

std::optional<base::NodeId> ClusterView::pick_among_all(base::Time now, const Wish& wish) const {
  const bool spread = std::holds_alternative<Spread>(wish.strategy.placement);
  using Rank = std::tuple<std::size_t, bool, std::int64_t, bool>;
  std::optional<Rank> best;
  std::optional<base::NodeId> chosen;
  for (const auto& [id, view] : nodes_) {
    if (!could_take(now, view, wish)) continue;
    const std::int64_t used = used_permille(view.total, room(now, view));
    const bool packs = !spread && used < NodeIndex::kHalf;
    const std::size_t preference = *wish.strategy.preference(id, view.labels);
    const Rank rank{preference, !spread && id != wish.home, packs ? 0 : used, id <= wish.home};
    if (best && *best <= rank) continue;
    best = rank;
    chosen = id;
  }
  return chosen;
}

std::optional<base::NodeId> ClusterView::probe(base::Time now, const Wish& wish) const {
  if (wish.strategy.bundle) return std::nullopt;  // pick() asks where bundles lie however full they are.
  using Rank = std::pair<base::Time, bool>;
  std::optional<Rank> best;
  std::optional<base::NodeId> chosen;
  for (const auto& [id, view] : nodes_) {
    if (view.state != NodeState::kAlive || id == wish.skip || !view.total.covers(wish.shape)) continue;
    if (!wish.strategy.allows(id, view.labels) || !wish.strategy.allows_beside(view.actors)) continue;
    const auto no = refused_.find(id);
    if (no != refused_.end() && no->second + limits_.refused_for > now) continue;
    const Rank rank{no == refused_.end() ? base::Time::min() : no->second, id <= wish.home};
    if (best && *best <= rank) continue;
    best = rank;
    chosen = id;
  }
  return chosen;
}

std::optional<base::Time> ClusterView::next_retry(base::Time now) {
  wear_off(now);
  return wears_off_.next();
}

}  // namespace mobula::scheduler
