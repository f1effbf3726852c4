#include "core/gcs/actor_table.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "core/base/limits.h"
#include "core/gcs/actor_error.h"
#include "core/os/random.h"

namespace mobula::gcs {
namespace {

using base::ActorId;
using base::Code;
using base::JobId;
using base::LeaseId;
using base::NodeId;
using base::WorkerId;
using cluster::to_id;

std::uint64_t random_origin() {
  std::uint64_t origin = 0;
  os::fill_random(&origin, sizeof origin);
  return origin;
}

proto::ActorInfo::State state_of(scheduler::ActorState state) {
  switch (state) {
    case scheduler::ActorState::kPending: return proto::ActorInfo::PENDING;
    case scheduler::ActorState::kAlive: return proto::ActorInfo::ALIVE;
    case scheduler::ActorState::kRestarting: return proto::ActorInfo::RESTARTING;
    case scheduler::ActorState::kDead: return proto::ActorInfo::DEAD;
  }
  return proto::ActorInfo::UNKNOWN;
}

}  // namespace

ActorTable::ActorTable(os::EventLoop& loop, Ports ports)
    : ports_(std::move(ports)),
      machine_(random_origin(), scheduler::ActorLimits{}),
      runner_(loop, machine_, [this](scheduler::ActorOutput&& output) { put(std::move(output)); }) {}

void ActorTable::serve(rpc::Rpc& rpc, const NodeId& node) {
  rpc.on<proto::RegisterActor>(proto::REGISTER_ACTOR, [this](proto::RegisterActor&& request, rpc::Responder responder) {
    register_actor(std::move(request), std::move(responder));
  });
  rpc.on<proto::ActorQuery>(proto::GET_ACTOR, [this](proto::ActorQuery&& query, rpc::Responder responder) {
    const auto actor = find(query);
    if (!actor) return responder.fail({Code::kNotFound, "no actor is known as \"" + query.name() + "\""});
    responder.reply(info(*machine_.find(*actor)));
  });
  rpc.on<proto::ActorQuery>(proto::SUBSCRIBE_ACTOR, [this, node](proto::ActorQuery&& query, rpc::Responder responder) {
    const auto actor = find(query);
    if (!actor) return responder.fail({Code::kNotFound, "no actor is known as \"" + query.name() + "\""});
    watchers_[*actor].insert(node);
    responder.reply(info(*machine_.find(*actor)));
  });
  rpc.on<proto::KillActor>(proto::KILL_ACTOR, [this](proto::KillActor&& request, rpc::Responder responder) {
    using Restart = scheduler::KillActor::Restart;
    step(scheduler::KillActor{to_id<ActorId>(request.actor_id()),
                              request.no_restart() ? Restart::kNever : Restart::kAllowed});
    responder.reply(proto::Empty());
  });
  rpc.on<proto::ActorQuery>(proto::ACTOR_OUT_OF_SCOPE, [this](proto::ActorQuery&& query, rpc::Responder responder) {
    step(scheduler::ActorHandlesGone{to_id<ActorId>(query.actor_id())});
    responder.reply(proto::Empty());
  });
  rpc.on<proto::ProcessGone>(proto::PROCESS_GONE, [this](proto::ProcessGone&& gone, rpc::Responder) {
    step(scheduler::ActorOwnerGone{to_id<WorkerId>(gone.worker_id())});
    ports_.process_gone(to_id<WorkerId>(gone.worker_id()));
  });
  rpc.on<proto::ActorLease>(proto::ACTOR_LEASE,
                            [this, node](proto::ActorLease&& message, rpc::Responder) { from_node(node, message); });
}

void ActorTable::register_actor(proto::RegisterActor&& request, rpc::Responder responder) {
  proto::ActorSpec& spec = *request.mutable_spec();
  const auto id = ActorId::from_string(spec.actor_id());
  auto shape = cluster::to_resources(spec.resources());
  auto strategy = cluster::to_strategy(spec.strategy(), ports_.resolve_node);
  if (!id || spec.name().size() + spec.ns().size() > base::kNameBytesMax) {
    return responder.fail({Code::kInvalid, "the actor's id or name is malformed"});
  }
  if (!shape) return responder.fail(shape.error());
  if (!strategy) return responder.fail(strategy.error());
  scheduler::RegisterActor event;
  event.request = next_request_++;
  event.actor = *id;
  event.job = to_id<JobId>(spec.job_id());
  event.owner = to_id<WorkerId>(spec.owner().worker_id());
  event.owner_node = to_id<NodeId>(spec.owner().node_id());
  event.name = spec.name();
  event.ns = spec.ns();
  event.strategy = std::move(*strategy);
  event.shape = std::move(*shape);
  for (const auto& [key, value] : spec.labels()) event.labels[key] = value;
  event.max_restarts =
      spec.max_restarts() < 0 ? scheduler::kRestartForever : static_cast<std::uint32_t>(spec.max_restarts());
  event.lifetime = spec.detached() ? scheduler::ActorLifetime::kDetached : scheduler::ActorLifetime::kOwned;
  event.existing = spec.get_if_exists() ? scheduler::OnExistingName::kGet : scheduler::OnExistingName::kRefuse;
  registering_[event.request] = std::move(responder);
  spec.clear_job();  // Each node has it from JOB_STARTED.
  specs_.try_emplace(*id, std::move(spec));
  step(std::move(event));
}

std::optional<ActorId> ActorTable::find(const proto::ActorQuery& query) const {
  const auto id = ActorId::from_string(query.actor_id());
  if (id) return machine_.find(*id) != nullptr ? id : std::nullopt;
  return machine_.named(query.ns(), query.name());
}

proto::ActorInfo ActorTable::info(const scheduler::ActorView& view) const {
  proto::ActorInfo out;
  out.set_actor_id(view.actor.bytes());
  out.set_state(state_of(view.state));
  out.set_version(view.version);
  out.set_incarnation(view.incarnation);
  out.set_name(view.name);
  out.set_ns(view.ns);
  out.set_job_id(view.job.bytes());
  out.set_restarts(static_cast<std::int32_t>(view.incarnation));
  if (view.state == scheduler::ActorState::kAlive) out.mutable_address()->ParseFromString(view.address);
  const auto it = specs_.find(view.actor);
  const proto::ActorSpec& spec = it == specs_.end() ? proto::ActorSpec::default_instance() : it->second;
  out.set_class_name(spec.class_name());
  out.set_max_task_retries(spec.max_task_retries());
  out.set_max_pending_calls(spec.max_pending_calls());
  out.set_max_concurrency(spec.max_concurrency());
  *out.mutable_owner() = spec.owner();
  if (view.state == scheduler::ActorState::kDead) {
    base::Buffer error;
    base::encode(actor_error(view, spec, view.nearest ? ports_.node_name(*view.nearest) : std::string()), error);
    out.set_error(std::string(base::as_string_view(error.view())));
  }
  return out;
}

void ActorTable::each(const std::function<void(const proto::ActorInfo&)>& visit) const {
  for (const auto& view : machine_.changes_since(0)) visit(info(view));
}

void ActorTable::node_changed(const scheduler::NodeView& view) {
  if (view.state == scheduler::NodeState::kDead) {
    for (auto& [actor, nodes] : watchers_) nodes.erase(view.node);
  }
  step(view);
}

void ActorTable::job_ended(const JobId& job) { step(scheduler::ActorJobEnded{job}); }

void ActorTable::from_node(const NodeId& node, const proto::ActorLease& m) {
  const auto lease = to_id<LeaseId>(m.lease_id());
  const auto actor = to_id<ActorId>(m.actor_id());
  switch (m.kind()) {
    case proto::ActorLease::GRANT:
      return step(scheduler::ActorGrant{node, lease, actor, to_id<WorkerId>(m.worker().worker_id()),
                                        m.worker().SerializeAsString()});
    case proto::ActorLease::REJECT: {
      base::Resources available;
      for (const auto& [name, units] : m.available().units()) available.set(name, {units});
      using Reason = scheduler::ActorReject::Reason;
      const Reason reason = m.start_failed() ? Reason::kStartFailed : Reason::kNoRoom;
      return step(scheduler::ActorReject{node, lease, actor, reason, m.cause(), std::move(available)});
    }
    case proto::ActorLease::LOST: return step(scheduler::ActorLost{node, lease, actor, m.cause()});
    case proto::ActorLease::RELEASED: return step(scheduler::ActorReleased{node, lease});
    case proto::ActorLease::STARTED: return step(scheduler::ActorStarted{actor, lease, m.worker().SerializeAsString()});
    case proto::ActorLease::START_FAILED: return step(scheduler::ActorStartFailed{actor, lease, m.cause()});
    case proto::ActorLease::EXITED: return step(scheduler::ActorExited{actor, lease});
    default: return;
  }
}

// The machine forgets the oldest of the dead; their specifications go some time later, many at once.
void ActorTable::forget_old_specs() {
  if (specs_.size() < specs_kept_) return;
  std::erase_if(specs_, [this](const auto& entry) { return machine_.find(entry.first) == nullptr; });
  specs_kept_ = std::max(kSpecsKept, 2 * specs_.size());
}

void ActorTable::put(scheduler::ActorOutput&& output) {
  if (const auto* o = std::get_if<scheduler::ActorRegistered>(&output)) {
    auto responder = registering_.extract(o->request);
    const auto* view = machine_.find(o->actor);
    if (!responder.empty() && view != nullptr) responder.mapped().reply(info(*view));
  } else if (const auto* refused = std::get_if<scheduler::ActorRefused>(&output)) {
    auto responder = registering_.extract(refused->request);
    if (!responder.empty()) responder.mapped().fail({Code::kInvalid, refused->why});
    if (machine_.find(refused->actor) == nullptr) specs_.erase(refused->actor);
  } else if (const auto* lease = std::get_if<scheduler::ActorLease>(&output)) {
    request_worker(*lease);
  } else if (const auto* released = std::get_if<scheduler::ActorRelease>(&output)) {
    release(*released);
  } else if (const auto* started = std::get_if<scheduler::StartActor>(&output)) {
    start(*started);
  } else if (const auto* change = std::get_if<scheduler::ActorChanged>(&output)) {
    changed(change->view);
  } else if (const auto* labels = std::get_if<scheduler::NodeActors>(&output)) {
    ports_.labelled(*labels);
  }
}

void ActorTable::send(const NodeId& node, const proto::ActorLease& message) {
  if (rpc::Rpc* rpc = ports_.channel(node)) (void)rpc->notify(proto::ACTOR_LEASE, message);
}

void ActorTable::request_worker(const scheduler::ActorLease& output) {
  proto::ActorLease m;
  m.set_kind(proto::ActorLease::REQUEST);
  m.set_actor_id(output.actor.bytes());
  m.set_lease_id(output.lease.bytes());
  m.set_request(output.request);
  m.set_floor(output.floor);
  m.set_incarnation(output.incarnation);
  m.set_job_id(output.job.bytes());
  *m.mutable_shape() = cluster::to_proto(output.shape);
  if (output.bundle) {
    m.set_placement_group(output.bundle.group.bytes());
    m.set_bundle(output.bundle.index);
  }
  send(output.node, m);
}

void ActorTable::release(const scheduler::ActorRelease& output) {
  proto::ActorLease m;
  m.set_kind(proto::ActorLease::RELEASE);
  m.set_actor_id(output.actor.bytes());
  m.set_lease_id(output.lease.bytes());
  m.set_request(output.request);
  m.set_floor(output.floor);
  m.set_kill(output.mode == scheduler::StopMode::kKill);
  send(output.node, m);
}

void ActorTable::start(const scheduler::StartActor& output) {
  proto::ActorLease m;
  m.set_kind(proto::ActorLease::START);
  m.set_actor_id(output.actor.bytes());
  m.set_lease_id(output.lease.bytes());
  m.set_incarnation(output.incarnation);
  m.mutable_worker()->ParseFromString(output.address);
  if (const auto it = specs_.find(output.actor); it != specs_.end()) *m.mutable_spec() = it->second;
  send(output.node, m);
}

void ActorTable::changed(const scheduler::ActorView& view) {
  if (view.state == scheduler::ActorState::kDead) {
    if (const auto spec = specs_.find(view.actor); spec != specs_.end()) {
      spec->second.clear_arguments();
      const auto group = base::PlacementGroupId::from_string(spec->second.strategy().placement_group());
      if (group) ports_.member_died(*group);
    }
    forget_old_specs();
  }
  const auto it = watchers_.find(view.actor);
  if (it == watchers_.end()) return;
  const proto::ActorInfo message = info(view);
  for (const NodeId& node : it->second) {
    if (rpc::Rpc* rpc = ports_.channel(node)) (void)rpc->notify(proto::ACTOR_CHANGED, message);
  }
  if (view.state == scheduler::ActorState::kDead) watchers_.erase(it);
}

}  // namespace mobula::gcs
