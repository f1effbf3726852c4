// Why nothing serves a shape, now or ever.

#include <algorithm>
#include <string>
#include <tuple>

#include "scheduler/cluster_view.h"

namespace mobula::scheduler {
namespace {

// How much a node lacks: broken label rules, then resources that are short, then the worst share in 1/1000.
using Lack = std::tuple<std::size_t, std::size_t, std::int64_t>;

Lack lack_of(const LabelRules& broken, const base::Resources& have, const base::Resources& need) {
  std::size_t count = 0;
  std::int64_t worst = 0;
  for (const auto& [name, amount] : need.all()) {
    const std::int64_t there = have.get(name).units;
    if (there >= amount.units) continue;
    ++count;
    const std::int64_t unit = std::max<std::int64_t>(amount.units / 1000, 1);
    worst = std::max(worst, (amount.units - there) / unit);
  }
  return {broken.size(), count, worst};
}

std::string single(const std::string& name, base::Amount amount) {
  base::Resources r;
  r.set(name, amount);
  return r.to_string();
}

void append(std::string& text, const std::string& more) { text += (text.empty() ? "" : ", ") + more; }

std::string missing_resources(const base::Resources& have, const base::Resources& need, const char* where) {
  std::string text;
  for (const auto& [name, amount] : need.all()) {
    const base::Amount there = have.get(name);
    if (there >= amount) continue;
    append(text, single(name, amount) + " wanted, " + (there.units <= 0 ? "none" : single(name, there)) + " " + where);
  }
  return text;
}

std::string missing_labels(const LabelRules& broken, const Labels& labels) {
  std::string text;
  for (const LabelRule& rule : broken) {
    const auto it = labels.find(rule.key);
    append(text, "label " + rule.to_string() + " wanted, " +
                     (it == labels.end() ? "none there" : "\"" + it->second + "\" there"));
  }
  return text;
}

LabelRules broken_by(const LabelRules& rules, const Labels& labels) {
  LabelRules out;
  std::copy_if(rules.begin(), rules.end(), std::back_inserter(out), [&](const auto& r) { return !r.holds(labels); });
  return out;
}

// Of `labels` and its fallbacks, what is nearest to being met.
LabelRules least_broken(const Strategy& strategy, const Labels& labels) {
  LabelRules least = broken_by(strategy.labels, labels);
  for (const LabelRules& rules : strategy.fallbacks) {
    LabelRules broken = broken_by(rules, labels);
    if (broken.size() < least.size()) least = std::move(broken);
  }
  return least;
}

}  // namespace

std::optional<Infeasible> ClusterView::infeasible(const base::Resources& shape, const Strategy& strategy) const {
  if (strategy.bundle) return infeasible_bundle(shape, strategy);
  const auto* affinity = std::get_if<NodeAffinity>(&strategy.placement);
  const bool one_node = affinity && affinity->force == NodeAffinity::Force::kHard;
  const NodeView* nearest = nullptr;
  Lack least;
  LabelRules broken;
  for (const auto& [id, view] : nodes_) {
    if (one_node && id != affinity->node) continue;
    LabelRules here = least_broken(strategy, view.labels);
    if (here.empty() && view.total.covers(shape)) return std::nullopt;
    const Lack lack = lack_of(here, view.total, shape);
    if (nearest && least <= lack) continue;
    nearest = &view;
    least = lack;
    broken = std::move(here);
  }
  Infeasible why;
  if (nearest) {
    why.nearest = nearest->node;
    why.nearest_total = nearest->total;
    why.missing = missing_labels(broken, nearest->labels);
    const std::string resources = missing_resources(nearest->total, shape, "there");
    if (!resources.empty()) append(why.missing, resources);
  } else if (one_node && !nodes_.empty()) {
    const std::string name = affinity->name.empty() ? affinity->node.short_hex() : affinity->name;
    why.missing = "the node that was asked for, \"" + name + "\", is not in the cluster or has died";
  } else {
    why.missing = "no node is alive";
  }
  return why;
}

// It waits for its group, however long that takes, unless none of the bundles could ever take it.
std::optional<Infeasible> ClusterView::infeasible_bundle(const base::Resources& shape, const Strategy& strategy) const {
  const auto it = groups_.find(strategy.bundle.group);
  if (it == groups_.end()) return std::nullopt;
  const GroupNews& group = it->second;
  if (group.over) return Infeasible{"its placement group is over: " + group.why, std::nullopt, {}};
  if (group.shapes.empty()) return std::nullopt;
  const bool any = strategy.bundle.index == BundleRef::kAny;
  const std::size_t count = group.shapes.size();
  if (!any && static_cast<std::size_t>(strategy.bundle.index) >= count) {
    return Infeasible{"bundle " + std::to_string(strategy.bundle.index) + " of a placement group that has " +
                          std::to_string(count) +
                          (count == 1 ? ", number 0" : ", the last being " + std::to_string(count - 1)),
                      std::nullopt,
                      {}};
  }
  std::optional<Lack> least;
  Infeasible why;
  for (std::size_t i = any ? 0 : static_cast<std::size_t>(strategy.bundle.index); i < count; ++i) {
    const auto place = group.places.find(static_cast<std::uint32_t>(i));
    const NodeView* node = place == group.places.end() ? nullptr : find(place->second);
    const LabelRules broken = node ? least_broken(strategy, node->labels) : LabelRules{};
    const bool elsewhere = node && broken.empty() && !strategy.allows(node->node, node->labels);  // Affinity.
    const bool fits = group.shapes[i].covers(shape);
    if (fits && broken.empty() && !elsewhere) return std::nullopt;
    const Lack lack = lack_of(broken, group.shapes[i], shape);
    if (!least || lack < *least) {
      least = lack;
      why.missing = "bundle " + std::to_string(i) + ": " + missing_resources(group.shapes[i], shape, "in it");
      if (fits && elsewhere) why.missing += "it lies on another node than the one that was asked for";
      if (!broken.empty()) why.missing += (fits ? "" : ", ") + missing_labels(broken, node->labels);
      why.nearest = node ? std::optional(node->node) : std::nullopt;
      why.nearest_total = group.shapes[i];
    }
    if (!any) break;
  }
  if (any) why.missing = "no bundle of its placement group can take it; the nearest is " + why.missing;
  return why;
}

Infeasible ClusterView::shortage_now(base::Time now, const Wish& wish) const {
  Infeasible why;
  if (wish.strategy.bundle) {
    const auto it = groups_.find(wish.strategy.bundle.group);
    const bool placed = it != groups_.end() && !it->second.places.empty();
    why.missing = placed ? "the bundles of its placement group are in use" : "its placement group is not created yet";
    if (placed && wish.strategy.bundle.index != BundleRef::kAny) {
      const auto place = it->second.places.find(static_cast<std::uint32_t>(wish.strategy.bundle.index));
      if (place != it->second.places.end()) why.nearest = place->second;
    }
    return why;
  }
  const NodeView* nearest = nullptr;
  Lack least;
  bool only_actors = false;
  for (const auto& [id, view] : nodes_) {
    if (!view.total.covers(wish.shape) || !wish.strategy.allows(id, view.labels)) continue;
    const bool beside = wish.strategy.allows_beside(view.actors);
    const Lack lack = lack_of(beside ? LabelRules{} : wish.strategy.beside, room(now, view), wish.shape);
    if (nearest && least <= lack) continue;
    nearest = &view;
    least = lack;
    only_actors = !beside;
  }
  if (!nearest) {
    why.missing = "no node that could serve it is there any more";
    return why;
  }
  why.nearest = nearest->node;
  why.nearest_total = nearest->total;
  why.missing = missing_resources(room(now, *nearest), wish.shape, "free there");
  if (only_actors) {
    std::string rules;
    for (const LabelRule& rule : wish.strategy.beside) append(rules, rule.to_string());
    why.missing = "no node with room has actors with the labels asked for: " + rules;
  } else if (nearest->state != NodeState::kAlive) {
    why.missing = "the node that could serve it has not been heard of lately";
  } else if (why.missing.empty()) {
    why.missing = "it is being placed";
  }
  return why;
}

}  // namespace mobula::scheduler
