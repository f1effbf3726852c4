#include "mobula/placement_group.h"

#include <array>

#include "core/api/option_checks.h"
#include "core/api/runtime_access.h"
#include "mobula/errors.h"

namespace mobula {
namespace {

using detail::throw_invalid;

runtime::PlacementGroups& groups() {
  runtime::PlacementGroups* out = detail::InSession()->placement_groups();
  if (out == nullptr) throw_invalid("this runtime has no placement groups");
  return *out;
}

runtime::GroupSpecOptions spec_of(const PlacementGroupOptions& o) {
  runtime::GroupSpecOptions out;
  out.placement = static_cast<runtime::GroupSpecOptions::Placement>(o.placement);
  out.level = detail::checked_name(o.level, "level");
  out.name = detail::checked_name(o.name, "name");
  out.ns = detail::checked_name(o.ns, "ns");
  out.detached = o.lifetime == Lifetime::detached;
  if (out.detached && out.name.empty()) {
    throw_invalid("option lifetime: a detached placement group needs a name to be found by");
  }
  out.capture_child_tasks = o.capture_child_tasks;
  o.labels.for_each(
      [&](std::string_view name, std::string_view value) { detail::add_selector(out.labels, name, value); });
  return out;
}

}  // namespace

PlacementGroupFactory PlacementGroupFactory::with(const PlacementGroupOptions& options) const {
  PlacementGroupFactory out;
  out.spec_ = std::make_shared<const runtime::GroupSpecOptions>(spec_of(options));
  return out;
}

PlacementGroup PlacementGroupFactory::make(std::span<const Bundle> bundles,
                                           const PlacementGroupOptions* options) const {
  runtime::GroupSpecOptions spec = options != nullptr ? spec_of(*options)
                                   : spec_            ? *spec_
                                                      : runtime::GroupSpecOptions{};
  if (bundles.empty()) throw_invalid("a placement group has at least one bundle");
  for (const Bundle& b : bundles) {
    if (b.gpus > 1 && b.gpus != static_cast<double>(static_cast<std::uint64_t>(b.gpus))) {
      throw_invalid("option gpus = " + std::to_string(b.gpus) + ": a bundle has whole GPUs, or a part of one");
    }
    spec.bundles.push_back(detail::resources_of(b));
  }
  auto made = groups().create_group(spec);
  if (!made) detail::throw_error(made.error());
  return PlacementGroup(*made);
}

Ref<void> PlacementGroup::ready() const {
  if (!*this) throw_invalid("this PlacementGroup names nothing", "one comes from placement_group(...)");
  return Ref<void>(groups().group_ready(info_.id));
}

bool PlacementGroup::wait(TimeLimit limit) const {
  const Ref<void> is_ready = ready();
  const std::array<runtime::ObjectRef, 1> refs{is_ready.object()};
  if (!detail::wait_some(refs, {.count = 1, .timeout = limit}).front()) return false;
  is_ready.get();
  return true;
}

PlacementGroup get_placement_group(std::string_view name, std::string_view ns) {
  auto found = groups().get_group(std::string(name), std::string(ns));
  if (!found) detail::throw_error(found.error());
  return PlacementGroup(*found);
}

void remove(const PlacementGroup& group) {
  if (!group) throw_invalid("this PlacementGroup names nothing", "one comes from placement_group(...)");
  const auto done = groups().remove_group(group.id());
  if (!done) detail::throw_error(done.error());
}

}  // namespace mobula
