#include "core/cluster/convert.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/base/limits.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

constexpr int kFallbacksMax = 16;

// A million million of anything; far from overflow when added up.
constexpr std::int64_t kUnitsMax = std::int64_t{1} << 58;

}  // namespace

Result<base::Resources> to_resources(const proto::ResourceSet& set) {
  if (static_cast<std::size_t>(set.units_size()) > base::kResourcesPerNodeMax) {
    return Error{Code::kInvalid, std::to_string(set.units_size()) + " resources named at once"};
  }
  base::Resources out;
  for (const auto& [name, units] : set.units()) {
    if (name.empty() || name.size() > base::kNameBytesMax)
      return Error{Code::kInvalid, "a resource's name is too long"};
    if (units < 0 || units > kUnitsMax) {
      return Error{Code::kInvalid, "an amount of " + name + " that cannot be: " + std::to_string(units)};
    }
    out.set(name, {units});
  }
  return out;
}

proto::ResourceSet to_proto(const base::Resources& resources) {
  proto::ResourceSet out;
  for (const auto& [name, amount] : resources.all()) (*out.mutable_units())[name] = amount.units;
  return out;
}

Result<scheduler::LabelRules> to_label_rules(const SelectorMap& selectors) {
  if (static_cast<std::size_t>(selectors.size()) > base::kResourcesPerNodeMax) {
    return Error{Code::kInvalid, std::to_string(selectors.size()) + " label selectors at once"};
  }
  scheduler::LabelRules out;
  const std::map<std::string, std::string> ordered(selectors.begin(), selectors.end());
  for (const auto& [key, selector] : ordered) {
    auto rule = scheduler::parse_label_rule(key, selector);
    if (!rule) return rule.error();
    out.push_back(std::move(*rule));
  }
  return out;
}

Result<scheduler::Strategy> to_strategy(const proto::Strategy& strategy, const ResolveNode& resolve) {
  scheduler::Strategy out;
  switch (strategy.kind()) {
    case proto::Strategy::SPREAD: out.placement = scheduler::Spread{}; break;
    case proto::Strategy::NODE_AFFINITY: {
      using Force = scheduler::NodeAffinity::Force;
      out.placement = scheduler::NodeAffinity{resolve(strategy.node()).value_or(base::NodeId{}),
                                              strategy.soft() ? Force::kSoft : Force::kHard, strategy.node()};
      break;
    }
    default: break;
  }
  auto labels = to_label_rules(strategy.labels());
  if (!labels) return labels.error();
  out.labels = std::move(*labels);
  if (strategy.fallbacks_size() > kFallbacksMax) {
    return Error{Code::kInvalid, std::to_string(strategy.fallbacks_size()) + " fallbacks, the limit is " +
                                     std::to_string(kFallbacksMax)};
  }
  for (const auto& fallback : strategy.fallbacks()) {
    auto rules = to_label_rules(fallback.labels());
    if (!rules) return rules.error();
    out.fallbacks.push_back(std::move(*rules));
  }
  auto beside = to_label_rules(strategy.beside());
  if (!beside) return beside.error();
  out.beside = std::move(*beside);
  out.priority = std::clamp(strategy.priority(), -scheduler::kPriorityMax, scheduler::kPriorityMax);
  auto bundle = to_bundle_ref(strategy.placement_group(), strategy.bundle());
  if (!bundle) return bundle.error();
  out.bundle = *bundle;
  return out;
}

Result<scheduler::BundleRef> to_bundle_ref(const std::string& group, std::int32_t index) {
  if (group.empty()) return scheduler::BundleRef{};
  const auto id = base::PlacementGroupId::from_string(group);
  if (!id || index < scheduler::BundleRef::kAny) return Error{Code::kInvalid, "a bundle that cannot be"};
  return scheduler::BundleRef{*id, id->is_nil() ? scheduler::BundleRef::kAny : index};
}

proto::Bundle to_proto(const scheduler::HeldBundle& bundle) {
  proto::Bundle out;
  out.set_index(bundle.index);
  *out.mutable_shape() = to_proto(bundle.shape);
  proto::Pieces& pieces = *out.mutable_pieces();
  pieces.set_pus(bundle.pieces.pus.to_string());
  for (const std::uint16_t gpu : bundle.pieces.gpus) pieces.add_gpus(gpu);
  pieces.set_gpu_share(bundle.pieces.gpu_share.units);
  if (bundle.pieces.nic) pieces.set_nic(*bundle.pieces.nic + 1u);
  return out;
}

Result<scheduler::HeldBundle> to_held_bundle(const proto::Bundle& bundle) {
  scheduler::HeldBundle out;
  out.index = bundle.index();
  auto shape = to_resources(bundle.shape());
  if (!shape) return shape.error();
  out.shape = std::move(*shape);
  const proto::Pieces& pieces = bundle.pieces();
  auto pus = base::CpuSet::parse(pieces.pus());
  if (!pus) return Error{Code::kInvalid, "\"" + pieces.pus() + "\" is no list of PUs"};
  out.pieces.pus = std::move(*pus);
  for (const std::uint32_t gpu : pieces.gpus()) {
    if (gpu > 0xffffu) return Error{Code::kInvalid, "a GPU with the number " + std::to_string(gpu)};
    out.pieces.gpus.push_back(static_cast<std::uint16_t>(gpu));
  }
  out.pieces.gpu_share = {pieces.gpu_share()};
  if (pieces.nic() > 0xffffu) return Error{Code::kInvalid, "a NIC with the number " + std::to_string(pieces.nic())};
  if (pieces.nic() != 0) out.pieces.nic = static_cast<std::uint16_t>(pieces.nic() - 1);
  return out;
}

scheduler::GroupNews to_news(const proto::GroupInfo& info) {
  scheduler::GroupNews out;
  out.group = to_id<base::PlacementGroupId>(info.group_id());
  out.version = info.version();
  for (const proto::Bundle& b : info.placed()) out.places[b.index()] = to_id<base::NodeId>(b.node_id());
  out.over = info.state() == proto::GroupInfo::REMOVED || info.state() == proto::GroupInfo::INFEASIBLE;
  out.why = info.why();
  for (const proto::ResourceSet& shape : info.shapes()) {
    auto resources = to_resources(shape);
    if (resources) out.shapes.push_back(std::move(*resources));
  }
  if (out.shapes.size() != static_cast<std::size_t>(info.shapes_size())) out.shapes.clear();
  return out;
}

proto::NodeInfo to_node_info(const scheduler::NodeView& view, std::uint64_t incarnation, const std::string& why) {
  proto::NodeInfo out;
  proto::NodeRegister facts;
  facts.ParseFromString(view.address);
  out.set_node_id(view.node.bytes());
  out.set_incarnation(incarnation);
  out.set_version(view.version);
  out.set_name(facts.name());
  out.set_host(facts.host());
  out.set_host_key(facts.host_key());
  out.set_control_unix(facts.control_unix());
  out.set_control_tcp(facts.control_tcp());
  out.set_pid(facts.pid());
  switch (view.state) {
    case scheduler::NodeState::kAlive: out.set_state(proto::NodeInfo::ALIVE); break;
    case scheduler::NodeState::kSuspect: out.set_state(proto::NodeInfo::SUSPECT); break;
    case scheduler::NodeState::kDead: out.set_state(proto::NodeInfo::DEAD); break;
  }
  *out.mutable_total() = to_proto(view.total);
  *out.mutable_available() = to_proto(view.available);
  for (const auto& [key, value] : view.labels) (*out.mutable_labels())[key] = value;
  for (const auto& [key, value] : view.actors) {
    proto::Label& label = *out.add_actor_labels();
    label.set_key(key);
    label.set_value(value);
  }
  out.set_why_dead(why);
  return out;
}

Result<scheduler::NodeView> to_node_view(const proto::NodeInfo& info) {
  scheduler::NodeView out;
  const auto id = base::NodeId::from_string(info.node_id());
  if (!id) return Error{Code::kInvalid, "a node's id has " + std::to_string(info.node_id().size()) + " bytes"};
  out.node = *id;
  out.version = info.version();
  switch (info.state()) {
    case proto::NodeInfo::SUSPECT: out.state = scheduler::NodeState::kSuspect; break;
    case proto::NodeInfo::DEAD: out.state = scheduler::NodeState::kDead; break;
    default: out.state = scheduler::NodeState::kAlive; break;
  }
  auto total = to_resources(info.total());
  if (!total) return total.error();
  out.total = std::move(*total);
  // Available amounts may be below zero while a node is over-committed.
  for (const auto& [name, units] : info.available().units()) {
    if (units > -kUnitsMax && units < kUnitsMax) out.available.set(name, {units});
  }
  for (const auto& [key, value] : info.labels()) out.labels[key] = value;
  for (const proto::Label& label : info.actor_labels()) out.actors.emplace(label.key(), label.value());
  return out;
}

}  // namespace mobula::cluster
