#include "scheduler/strategy.h"

#include <algorithm>

namespace mobula::scheduler {

bool LabelRule::holds(const Labels& labels) const {
  const auto it = labels.find(key);
  const bool exists = it != labels.end();
  const bool listed = exists && std::find(values.begin(), values.end(), it->second) != values.end();
  switch (op) {
    case Op::kIn: return listed;
    case Op::kNotIn: return !listed;
    case Op::kExists: return exists;
    case Op::kNotExists: return !exists;
  }
  return false;
}

bool Strategy::allows(const base::NodeId& node, const Labels& labels_of_node) const {
  const auto* affinity = std::get_if<NodeAffinity>(&placement);
  if (affinity && affinity->force == NodeAffinity::Force::kHard && affinity->node != node) return false;
  return std::all_of(labels.begin(), labels.end(), [&](const LabelRule& r) { return r.holds(labels_of_node); });
}

}  // namespace mobula::scheduler
