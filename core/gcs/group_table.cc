#include "core/gcs/group_table.h"

#include <memory>
#include <utility>
#include <variant>

#include "core/base/limits.h"
#include "core/cluster/convert.h"
#include "core/os/random.h"

namespace mobula::gcs {
namespace {

using base::Code;
using base::LeaseId;
using base::NodeId;
using base::PlacementGroupId;
using base::WorkerId;
using cluster::to_id;

std::uint64_t random_origin() {
  std::uint64_t origin = 0;
  os::fill_random(&origin, sizeof origin);
  return origin;
}

proto::GroupInfo::State state_of(scheduler::GroupState state) {
  switch (state) {
    case scheduler::GroupState::kPending: return proto::GroupInfo::PENDING;
    case scheduler::GroupState::kCreated: return proto::GroupInfo::CREATED;
    case scheduler::GroupState::kRescheduling: return proto::GroupInfo::RESCHEDULING;
    case scheduler::GroupState::kRemoved: return proto::GroupInfo::REMOVED;
    case scheduler::GroupState::kInfeasible: return proto::GroupInfo::INFEASIBLE;
  }
  return proto::GroupInfo::UNKNOWN;
}

scheduler::GroupStrategy strategy_of(proto::GroupSpec::Placement placement) {
  switch (placement) {
    case proto::GroupSpec::SPREAD: return scheduler::GroupStrategy::kSpread;
    case proto::GroupSpec::STRICT_PACK: return scheduler::GroupStrategy::kStrictPack;
    case proto::GroupSpec::STRICT_SPREAD: return scheduler::GroupStrategy::kStrictSpread;
    default: return scheduler::GroupStrategy::kPack;
  }
}

base::Error unknown(const proto::GroupQuery& query) {
  const std::string which = query.name().empty() ? "of that id" : "called \"" + query.name() + "\"";
  return {Code::kNotFound, "no placement group " + which + " is known"};
}

}  // namespace

GroupTable::GroupTable(os::EventLoop& loop, Ports ports)
    : ports_(std::move(ports)),
      machine_(random_origin(), scheduler::GroupLimits{}),
      runner_(loop, machine_, [this](scheduler::GroupOutput&& output) { put(std::move(output)); }) {}

void GroupTable::serve(rpc::Rpc& rpc, const NodeId& node) {
  rpc.on<proto::GroupSpec>(proto::CREATE_GROUP, [this](proto::GroupSpec&& spec, rpc::Responder responder) {
    create(spec, std::move(responder));
  });
  rpc.on<proto::GroupQuery>(proto::GET_GROUP, [this](proto::GroupQuery&& query, rpc::Responder responder) {
    const auto group = find(query);
    if (!group) return responder.fail(unknown(query));
    responder.reply(info(*machine_.find(*group)));
  });
  rpc.on<proto::GroupQuery>(proto::WAIT_GROUP, [this](proto::GroupQuery&& query, rpc::Responder responder) {
    const auto group = find(query);
    if (!group) return responder.fail(unknown(query));
    const auto* view = machine_.find(*group);
    if (view->is_over() || view->state == scheduler::GroupState::kCreated) return responder.reply(info(*view));
    waiting_[*group].push_back(std::move(responder));
  });
  rpc.on<proto::GroupQuery>(proto::SUBSCRIBE_GROUP, [this, node](proto::GroupQuery&& query, rpc::Responder responder) {
    const auto group = find(query);
    if (!group) return responder.fail(unknown(query));
    watchers_[*group].insert(node);
    responder.reply(info(*machine_.find(*group)));
  });
  rpc.on<proto::GroupQuery>(proto::REMOVE_GROUP, [this](proto::GroupQuery&& query, rpc::Responder responder) {
    if (const auto group = find(query)) step(scheduler::RemoveGroup{*group});
    responder.reply(proto::Empty());
  });
  rpc.on<proto::BundleHold>(proto::BUNDLES,
                            [this, node](proto::BundleHold&& message, rpc::Responder) { from_node(node, message); });
}

void GroupTable::create(const proto::GroupSpec& spec, rpc::Responder responder) {
  const auto id = PlacementGroupId::from_string(spec.group_id());
  if (!id || id->is_nil() || spec.name().size() + spec.ns().size() + spec.level().size() > base::kNameBytesMax) {
    return responder.fail({Code::kInvalid, "the placement group's id, name or level is malformed"});
  }
  scheduler::CreateGroup event;
  event.request = next_request_++;
  event.group = *id;
  event.job = to_id<base::JobId>(spec.job_id());
  event.owner = to_id<WorkerId>(spec.owner().worker_id());
  event.owner_node = to_id<NodeId>(spec.owner().node_id());
  event.name = spec.name();
  event.ns = spec.ns();
  event.lifetime = spec.detached() ? scheduler::ActorLifetime::kDetached : scheduler::ActorLifetime::kOwned;
  event.wish.strategy = strategy_of(spec.placement());
  event.wish.level = base::LevelName::parse(spec.level().empty() ? "node" : spec.level());
  auto labels = cluster::to_label_rules(spec.labels());
  if (!labels) return responder.fail(labels.error());
  event.wish.labels = std::move(*labels);
  for (const auto& bundle : spec.bundles()) {
    auto shape = cluster::to_resources(bundle);
    if (!shape) return responder.fail(shape.error());
    event.wish.bundles.push_back(std::move(*shape));
  }
  if (spec.capture_child_tasks()) capturing_.insert(*id);
  if (spec.members() != 0) members_[*id] = spec.members();
  creating_[event.request] = std::move(responder);
  step(std::move(event));
}

void GroupTable::from_node(const NodeId& node, const proto::BundleHold& m) {
  const auto hold = to_id<LeaseId>(m.hold_id());
  switch (m.kind()) {
    case proto::BundleHold::PREPARED: return step(scheduler::BundlesPrepared{node, hold});
    case proto::BundleHold::COMMITTED: return step(scheduler::BundlesCommitted{node, hold});
    case proto::BundleHold::RELEASED: return step(scheduler::BundlesReleased{node, hold});
    case proto::BundleHold::REFUSED: {
      scheduler::BundlesRefused refused{node, hold, m.why(), {}, {}, {}};
      for (const auto& [name, units] : m.available().units()) refused.available.set(name, {units});
      refused.free_pus = base::CpuSet::parse(m.free_pus()).value_or(base::CpuSet());
      for (const auto units : m.gpu_room()) refused.gpu_room.push_back({units});
      return step(std::move(refused));
    }
    default: return;
  }
}

std::optional<PlacementGroupId> GroupTable::find(const proto::GroupQuery& query) const {
  const auto id = PlacementGroupId::from_string(query.group_id());
  if (id) return machine_.find(*id) != nullptr ? id : std::nullopt;
  return machine_.named(query.ns(), query.name());
}

proto::GroupInfo GroupTable::info(const scheduler::GroupView& view) const {
  proto::GroupInfo out;
  out.set_group_id(view.group.bytes());
  out.set_state(state_of(view.state));
  out.set_version(view.version);
  out.set_name(view.name);
  out.set_ns(view.ns);
  out.set_bundle_count(static_cast<std::uint32_t>(view.wish.bundles.size()));
  for (const base::Resources& shape : view.wish.bundles) *out.add_shapes() = cluster::to_proto(shape);
  for (const scheduler::PlacedBundle& b : view.placed) {
    proto::Bundle& bundle = *out.add_placed();
    bundle = cluster::to_proto(scheduler::HeldBundle{b.bundle, view.wish.bundles[b.bundle], b.pieces});
    bundle.set_node_id(b.node.bytes());
  }
  out.set_why(view.why);
  if (view.nearest) out.set_nearest_node(ports_.node_name(*view.nearest));
  out.set_capture_child_tasks(capturing_.contains(view.group));
  return out;
}

void GroupTable::node_changed(const scheduler::NodeView& view) {
  if (view.state == scheduler::NodeState::kDead) {
    known_nodes_.erase(view.node);
    for (auto& [group, nodes] : watchers_) nodes.erase(view.node);
  } else if (known_nodes_.insert(view.node).second) {
    if (const base::Topology* topology = ports_.topology(view.node)) {
      step(scheduler::NodeTopology{view.node, *topology});
    }
  }
  step(view);
}

void GroupTable::member_died(const PlacementGroupId& group) {
  const auto it = members_.find(group);
  if (it == members_.end() || --it->second != 0) return;
  members_.erase(it);
  step(scheduler::RemoveGroup{group});
}

void GroupTable::put(scheduler::GroupOutput&& output) {
  if (const auto* made = std::get_if<scheduler::GroupRegistered>(&output)) {
    auto responder = creating_.extract(made->request);
    const auto* view = machine_.find(made->group);
    if (!responder.empty() && view != nullptr) responder.mapped().reply(info(*view));
  } else if (const auto* refused = std::get_if<scheduler::GroupRefused>(&output)) {
    auto responder = creating_.extract(refused->request);
    if (!responder.empty()) responder.mapped().fail({Code::kInvalid, refused->why});
    if (machine_.find(refused->group) == nullptr) capturing_.erase(refused->group);
  } else if (const auto* prepared = std::get_if<scheduler::PrepareBundles>(&output)) {
    prepare(*prepared);
  } else if (const auto* commit = std::get_if<scheduler::CommitBundles>(&output)) {
    proto::BundleHold m;
    m.set_kind(proto::BundleHold::COMMIT);
    m.set_hold_id(commit->hold.bytes());
    send(commit->node, m);
  } else if (const auto* release = std::get_if<scheduler::ReleaseBundles>(&output)) {
    proto::BundleHold m;
    m.set_kind(proto::BundleHold::RELEASE);
    m.set_hold_id(release->hold.bytes());
    m.set_request(release->request);
    m.set_floor(release->floor);
    send(release->node, m);
  } else if (const auto* change = std::get_if<scheduler::GroupChanged>(&output)) {
    changed(change->view);
  }
}

void GroupTable::prepare(const scheduler::PrepareBundles& output) {
  proto::BundleHold m;
  m.set_kind(proto::BundleHold::PREPARE);
  m.set_hold_id(output.hold.bytes());
  m.set_request(output.request);
  m.set_floor(output.floor);
  m.set_group_id(output.group.bytes());
  m.set_capture_child_tasks(capturing_.contains(output.group));
  for (const scheduler::HeldBundle& b : output.bundles) *m.add_bundles() = cluster::to_proto(b);
  send(output.node, m);
}

void GroupTable::send(const NodeId& node, const proto::BundleHold& message) {
  if (rpc::Rpc* rpc = ports_.channel(node)) (void)rpc->notify(proto::BUNDLES, message);
}

void GroupTable::changed(const scheduler::GroupView& view) {
  const proto::GroupInfo message = info(view);
  ports_.changed(cluster::to_news(message));
  if (const auto it = watchers_.find(view.group); it != watchers_.end()) {
    for (const NodeId& node : it->second) {
      if (rpc::Rpc* rpc = ports_.channel(node)) (void)rpc->notify(proto::GROUP_CHANGED, message);
    }
  }
  if (view.is_over()) {
    watchers_.erase(view.group);
    capturing_.erase(view.group);
    members_.erase(view.group);
  }
  if (!view.is_over() && view.state != scheduler::GroupState::kCreated) return;
  const auto waiting = waiting_.extract(view.group);
  if (waiting.empty()) return;
  for (const rpc::Responder& responder : waiting.mapped()) responder.reply(message);
}

}  // namespace mobula::gcs
