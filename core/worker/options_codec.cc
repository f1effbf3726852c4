#include "core/worker/options_codec.h"

namespace mobula::runtime {

void fill(proto::ResourceSet& to, const base::Resources& from) {
  for (const auto& [name, amount] : from.all()) (*to.mutable_units())[name] = amount.units;
}

void fill(proto::Strategy& to, const Strategy& from, const base::PlacementGroupId& group, int bundle) {
  if (std::holds_alternative<Spread>(from.kind)) to.set_kind(proto::Strategy::SPREAD);
  if (const auto* affinity = std::get_if<NodeAffinity>(&from.kind)) {
    to.set_kind(proto::Strategy::NODE_AFFINITY);
    to.set_node(affinity->node);
    to.set_soft(affinity->soft);
  }
  for (const auto& [key, selector] : from.labels) (*to.mutable_labels())[key] = selector;
  for (const auto& fallback : from.fallbacks) {
    auto& labels = *to.add_fallbacks()->mutable_labels();
    for (const auto& [key, selector] : fallback) labels[key] = selector;
  }
  for (const auto& [key, selector] : from.beside) (*to.mutable_beside())[key] = selector;
  to.set_priority(from.priority);
  if (group.is_nil()) return;
  to.set_placement_group(group.bytes());
  to.set_bundle(bundle);
}

}  // namespace mobula::runtime
