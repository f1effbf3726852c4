#include "core/cluster/convert.h"

#include <string_view>
#include <utility>

#include "core/base/limits.h"

namespace mobula::cluster {
namespace {

using base::Code;
using base::Error;
using base::Result;

// A million million of anything; far from overflow when added up.
constexpr std::int64_t kUnitsMax = std::int64_t{1} << 58;

bool starts_with(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }

std::vector<std::string> split_list(std::string_view list) {
  std::vector<std::string> out;
  while (true) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    while (!item.empty() && item.back() == ' ') item.remove_suffix(1);
    out.emplace_back(item);
    if (comma == std::string_view::npos) return out;
    list.remove_prefix(comma + 1);
  }
}

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

Result<scheduler::LabelRule> to_label_rule(const std::string& key, const std::string& selector) {
  using Op = scheduler::LabelRule::Op;
  scheduler::LabelRule rule;
  rule.key = key;
  std::string_view text = selector;
  const bool negated = starts_with(text, "!");
  if (negated) text.remove_prefix(1);
  if (text == "exists") {
    rule.op = negated ? Op::kNotExists : Op::kExists;
    return rule;
  }
  rule.op = negated ? Op::kNotIn : Op::kIn;
  if (starts_with(text, "in(") && text.back() == ')') {
    rule.values = split_list(text.substr(3, text.size() - 4));
  } else if (!text.empty()) {
    rule.values.emplace_back(text);
  } else {
    return Error{Code::kInvalid, "the label " + key + " has no selector: v, !v, in(a,b), !in(a,b), exists or !exists"};
  }
  return rule;
}

Result<scheduler::Strategy> to_strategy(const proto::Strategy& strategy, const ResolveNode& resolve) {
  scheduler::Strategy out;
  switch (strategy.kind()) {
    case proto::Strategy::SPREAD: out.placement = scheduler::Spread{}; break;
    case proto::Strategy::NODE_AFFINITY: {
      using Force = scheduler::NodeAffinity::Force;
      out.placement = scheduler::NodeAffinity{resolve(strategy.node()).value_or(base::NodeId{}),
                                              strategy.soft() ? Force::kSoft : Force::kHard};
      break;
    }
    default: break;
  }
  if (static_cast<std::size_t>(strategy.labels_size()) > base::kResourcesPerNodeMax) {
    return Error{Code::kInvalid, "too many label rules"};
  }
  const std::map<std::string, std::string> ordered(strategy.labels().begin(), strategy.labels().end());
  for (const auto& [key, selector] : ordered) {
    auto rule = to_label_rule(key, selector);
    if (!rule) return rule.error();
    out.labels.push_back(std::move(*rule));
  }
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
  return out;
}

}  // namespace mobula::cluster
