#include "core/worker/actor_client.h"

#include <algorithm>
#include <utility>

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::ErrorKind;
using base::Result;

constexpr auto kGcsTimeout = std::chrono::seconds(10);
constexpr auto kNewsGrace = std::chrono::seconds(4);  // For the GCS to say what became of a lost actor.

void fill(proto::ResourceSet& to, const base::Resources& from) {
  for (const auto& [name, amount] : from.all()) (*to.mutable_units())[name] = amount.units;
}

void fill_strategy(proto::Strategy& to, const Strategy& from) {
  if (std::holds_alternative<Spread>(from.kind)) to.set_kind(proto::Strategy::SPREAD);
  if (const auto* affinity = std::get_if<NodeAffinity>(&from.kind)) {
    to.set_kind(proto::Strategy::NODE_AFFINITY);
    to.set_node(affinity->node);
    to.set_soft(affinity->soft);
  }
  for (const auto& [key, selector] : from.labels) (*to.mutable_labels())[key] = selector;
}

// The actor whose constructor this call is.
ActorId actor_of(const Task& task) { return ActorId::from_bytes(task.id.words.data()); }

}  // namespace

struct ActorClient::Creation {
  std::shared_ptr<ActorState> actor;
  proto::RegisterActor request;
  std::optional<Result<proto::ActorInfo>> answer;
};

ActorClient::ActorClient(Engine& engine, Calls& calls, Links& links, References& references, RayletLink& raylet)
    : engine_(engine), calls_(calls), links_(links), references_(references), raylet_(raylet) {}

std::shared_ptr<ActorState> ActorClient::state_of(const ActorId& id) {
  auto& slot = actors_[id];
  auto state = slot.lock();
  if (state == nullptr) {
    state = std::make_shared<ActorState>(id);
    slot = state;
  }
  return state;
}

ActorClient::~ActorClient() = default;

// ---- creation ---------------------------------------------------------------------------------------

Result<ActorRef> ActorClient::create(Engine::Lock& lock, const FunctionEntry& constructor,
                                     const ActorSpecOptions& options, const ActorId& id, const base::JobId& job,
                                     Arguments&& arguments) {
  if (arguments.failure_ != nullptr) return Error{Code::kInvalid, arguments.failure_->what};
  auto creation = std::make_unique<Creation>();
  creation->actor = state_of(id);
  ActorState& actor = *creation->actor;
  actor.phase = ActorState::Phase::kPending;
  actor.class_name = function_name(constructor);
  actor.owner = links_.self();
  actor.max_task_retries = options.max_task_retries;
  actor.max_pending_calls = options.max_pending_calls;
  if (!options.detached) {
    actor.handle = ObjectRef(references_.make(handle_of(id)));
    LocalObject& handle = local(actor.handle);
    handle.settle_inline({});
    references_.list(handle);
    handle.more().on_gone = [this, id] { out_of_scope(id); };
  }

  proto::ActorSpec& spec = *creation->request.mutable_spec();
  spec.set_actor_id(id.bytes());
  spec.set_job_id(job.bytes());
  *spec.mutable_owner() = to_proto(links_.self());
  spec.set_class_name(actor.class_name);
  spec.set_constructor(constructor.id);
  fill(*spec.mutable_resources(), options.resources);
  spec.set_max_restarts(options.max_restarts);
  spec.set_max_task_retries(options.max_task_retries);
  spec.set_max_concurrency(options.max_concurrency);
  spec.set_max_pending_calls(options.max_pending_calls);
  spec.set_name(options.name);
  spec.set_ns(options.ns);
  spec.set_get_if_exists(options.get_if_exists);
  spec.set_detached(options.detached);
  fill_strategy(*spec.mutable_strategy(), options.strategy);

  ObjectRef unused;
  Task& task = calls_.make(constructor, base::TaskId::from_bytes(id.words.data()), std::move(arguments), {&unused, 1});
  task.target = Target::kActor;
  engine_.work_began();
  Creation& waiting = *creation;
  creations_[id] = std::move(creation);
  const std::shared_ptr<ActorState> state = waiting.actor;
  if (await_arguments(task, *this)) register_actor(task, waiting);
  if (options.name.empty()) return ActorRef(state);

  engine_.wait(
      lock, [&] { return waiting.answer.has_value() || down_; }, std::nullopt);
  if (!waiting.answer) return Error{Code::kUnavailable, down_->what};
  const Result<proto::ActorInfo> answer = std::move(*waiting.answer);
  creations_.erase(id);
  if (!answer) return answer.error();
  const auto existing = ActorId::from_string(answer->actor_id());
  if (existing && *existing != id) {
    const auto found = state_of(*existing);
    watch_handle(*found, *answer);
    subscribe(*found);
    on_info(*answer);
    return ActorRef(found);
  }
  return ActorRef(state);
}

void ActorClient::register_actor(Task& task, Creation& creation) {
  base::Buffer scratch;
  const ConstBytes payload = calls_.payload_of(task, scratch);
  base::Buffer arguments;
  arguments.put(task.arguments.count_);
  arguments.put(static_cast<std::uint32_t>(task.arguments.bytes_.size()));
  arguments.put(static_cast<std::uint32_t>(task.arguments.dependencies_.size()));
  arguments.append(payload);
  creation.request.mutable_spec()->set_arguments(std::string(base::as_string_view(arguments.view())));
  // A restart runs the constructor again: what the arguments refer to lives as long as the actor may.
  if (!task.arguments.dependencies_.empty() || !task.arguments.contained_.empty()) {
    constructor_arguments_[creation.actor->id] = std::move(task.arguments);
  }
  raylet_.rpc().ask<proto::ActorInfo>(proto::REGISTER_ACTOR, creation.request, kGcsTimeout,
                                      [this, actor = creation.actor](Result<proto::ActorInfo> answer) {
                                        const auto it = creations_.find(actor->id);
                                        if (it == creations_.end()) return;
                                        if (!answer) {
                                          ErrorInfo error;
                                          error.kind = ErrorKind::kActorDied;
                                          error.what = "the actor could not be created: " + answer.error().what;
                                          actor->phase = ActorState::Phase::kDead;
                                          actor->death = error;
                                          flush(*actor);
                                        } else if (answer->actor_id() == actor->id.bytes()) {
                                          subscribe(*actor);
                                          on_info(*answer);
                                        }
                                        if (it->second->request.spec().name().empty()) {
                                          creations_.erase(it);
                                        } else {
                                          it->second->answer = std::move(answer);
                                        }
                                        engine_.notify();
                                      });
  engine_.work_ended();
  // The constructor's task only carried the arguments: the actor's state says the rest.
  calls_.tasks().release(task);
}

void ActorClient::arguments_ready(Task& task) {
  if (task.actor == nullptr) {
    register_actor(task, *creations_[actor_of(task)]);
    return;
  }
  task.state = Task::State::kReady;
  flush(*task.actor);
}

void ActorClient::argument_failed(Task& task, const ErrorInfo& error) {
  if (task.actor != nullptr) {
    const std::shared_ptr<ActorState> actor = task.actor;
    std::erase(actor->queue, task.slot);
    fail_call(*actor, task, error);
    flush(*actor);
    return;
  }
  Creation& creation = *creations_[actor_of(task)];
  ErrorInfo death = error;
  death.kind = ErrorKind::kActorDied;
  death.cause = error.what;
  death.what = "an argument of the actor's constructor has no value: " + error.what;
  creation.actor->phase = ActorState::Phase::kDead;
  creation.actor->death = std::move(death);
  const std::shared_ptr<ActorState> actor = creation.actor;
  if (creation.request.spec().name().empty()) {
    creations_.erase(actor_of(task));
  } else {
    creation.answer = Result<proto::ActorInfo>(Error{Code::kInvalid, error.what});
  }
  engine_.work_ended();
  calls_.tasks().release(task);
  flush(*actor);
  engine_.notify();
}

void ActorClient::out_of_scope(const ActorId& id) {
  constructor_arguments_.erase(id);
  actors_.erase(id);
  if (!raylet_.is_open()) return;
  proto::ActorQuery query;
  query.set_actor_id(id.bytes());
  raylet_.rpc().ask<proto::Empty>(proto::ACTOR_OUT_OF_SCOPE, query, kGcsTimeout, [](Result<proto::Empty>) {});
}

// ---- finding ----------------------------------------------------------------------------------------

bool ActorClient::watch_handle(ActorState& actor, const proto::ActorInfo& info) {
  actor.class_name = info.class_name();
  if (actor.handle || !info.has_owner()) return false;
  const auto owner = from_proto(info.owner());
  if (!owner) return false;
  actor.owner = *owner;
  if (owner->worker == links_.self().worker) {
    actor.handle = references_.find(handle_of(actor.id));
    return static_cast<bool>(actor.handle);
  }
  actor.handle = references_.adopt(handle_of(actor.id), *owner, References::Borrow::kNow);
  return true;
}

Result<ActorRef> ActorClient::get_named(Engine::Lock& lock, const std::string& name, const std::string& ns) {
  proto::ActorQuery query;
  query.set_name(name);
  query.set_ns(ns);
  auto answer = std::make_shared<std::optional<Result<proto::ActorInfo>>>();
  raylet_.rpc().ask<proto::ActorInfo>(proto::GET_ACTOR, query, kGcsTimeout,
                                      [this, answer](Result<proto::ActorInfo> reply) {
                                        *answer = std::move(reply);
                                        engine_.notify();
                                      });
  engine_.wait(
      lock, [&] { return answer->has_value(); }, std::nullopt);
  const Result<proto::ActorInfo>& info = **answer;
  if (!info) return info.error();
  const auto id = ActorId::from_string(info->actor_id());
  if (!id) return Error{Code::kInvalid, "the GCS answered with a malformed actor id"};
  const auto state = state_of(*id);
  watch_handle(*state, *info);
  subscribe(*state);
  on_info(*info);
  return ActorRef(state);
}

ActorRef ActorClient::adopt(const ActorId& id, const ProcessAddress& owner, const std::string& class_name) {
  const auto state = state_of(id);
  if (state->class_name.empty()) state->class_name = class_name;
  if (!state->handle && !owner.worker.is_nil()) {
    state->owner = owner;
    state->handle = references_.adopt(handle_of(id), owner, References::Borrow::kNow);
  }
  return ActorRef(state);
}

void ActorClient::subscribe(ActorState& actor) {
  if (actor.subscribed) return;
  actor.subscribed = true;
  proto::ActorQuery query;
  query.set_actor_id(actor.id.bytes());
  raylet_.rpc().ask<proto::ActorInfo>(
      proto::SUBSCRIBE_ACTOR, query, kGcsTimeout, [this, weak = actors_[actor.id]](Result<proto::ActorInfo> info) {
        const auto state = weak.lock();
        if (state == nullptr) return;
        if (info) return on_info(*info);
        state->subscribed = false;
        if (info.error().code == Code::kNotFound && ask_again(state)) return;
        if (state->phase != ActorState::Phase::kUnknown && info.error().code != Code::kNotFound) return;
        state->phase = ActorState::Phase::kDead;
        state->death = ErrorInfo{.kind = ErrorKind::kActorDied, .what = info.error().what};
        flush(*state);
      });
}

// A handle may be faster than the news of its actor: until the maker's registration has reached the GCS, that knows of
// none.
bool ActorClient::ask_again(const std::shared_ptr<ActorState>& actor) {
  constexpr int kAsksMax = 9;  // 2, 4, ... ms: a second in all.
  if (actor->phase != ActorState::Phase::kUnknown || actor->unheard_of == kAsksMax) return false;
  engine_.loop().after(std::chrono::milliseconds(1 << ++actor->unheard_of), [this, weak = std::weak_ptr(actor)] {
    if (const auto state = weak.lock()) subscribe(*state);
  });
  return true;
}

// ---- calls ------------------------------------------------------------------------------------------

void ActorClient::call(const ActorRef& ref, const FunctionEntry& method, const base::TaskId& id, Arguments&& arguments,
                       std::span<ObjectRef> out) {
  ActorState& actor = *ref.state();
  Task& task = calls_.make(method, id, std::move(arguments), out);
  task.target = Target::kActor;
  task.actor = ref.state();
  engine_.work_began();
  if (task.arguments.failure_ != nullptr) return fail_call(actor, task, ErrorInfo(*task.arguments.failure_));
  if (down_) return fail_call(actor, task, *down_);
  const std::size_t pending = actor.queue.size() + actor.in_flight.size();
  if (actor.max_pending_calls >= 0 && pending >= static_cast<std::size_t>(actor.max_pending_calls)) {
    ErrorInfo error;
    error.kind = ErrorKind::kPendingCallsLimit;
    error.what = "actor " + actor.class_name + " has " + std::to_string(pending) + " calls pending from this process";
    error.evidence.push_back("max_pending_calls = " + std::to_string(actor.max_pending_calls));
    error.remedy = "wait for results before calling on, or raise max_pending_calls";
    return fail_call(actor, task, std::move(error));
  }
  if (actor.phase == ActorState::Phase::kDead) return fail_call(actor, task, died(actor));
  // The steady state: nothing waits, the actor is there.
  if (actor.queue.empty() && actor.peer != nullptr && task.arguments.dependencies_.empty()) {
    task.sequence = actor.next_sequence++;
    actor.in_flight.push_back(task.slot);
    calls_.send(task, *actor.peer, actor.incarnation);
    return;
  }
  actor.queue.push_back(task.slot);
  if (actor.phase == ActorState::Phase::kUnknown) subscribe(actor);
  if (await_arguments(task, *this)) arguments_ready(task);
}

void ActorClient::flush(ActorState& actor) {
  if (actor.phase == ActorState::Phase::kDead) {
    const auto failed = std::exchange(actor.queue, {});
    for (const std::uint32_t slot : failed) fail_call(actor, calls_.tasks().at(slot), died(actor));
    return;
  }
  while (actor.peer != nullptr && !actor.queue.empty()) {
    Task& task = calls_.tasks().at(actor.queue.front());
    if (task.state != Task::State::kReady) return;
    actor.queue.pop_front();
    task.sequence = actor.next_sequence++;
    actor.in_flight.push_back(task.slot);
    calls_.send(task, *actor.peer, actor.incarnation);
  }
}

void ActorClient::end_call(ActorState& actor, Task& task) {
  engine_.work_ended();
  // Replies come nearly in order.
  const auto at = std::ranges::find(actor.in_flight, task.slot);
  if (at != actor.in_flight.end()) actor.in_flight.erase(at);
}

void ActorClient::fail_call(ActorState&, Task& task, ErrorInfo error) {
  engine_.work_ended();
  const std::shared_ptr<ActorState> keep = task.actor;
  calls_.fail(task, std::move(error));
}

void ActorClient::on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload) {
  if (task.worker != &from) return;
  const std::shared_ptr<ActorState> actor = task.actor;
  end_call(*actor, task);
  if (header.status == CallStatus::kOk) {
    calls_.succeed(task, from, header, payload);
    return;
  }
  auto error = base::decode_error_info(payload);
  if (!error) error = ErrorInfo{.kind = ErrorKind::kTask, .what = "the actor's error cannot be read"};
  calls_.fail(task, std::move(*error));
}

void ActorClient::cancel(Task& task, bool force, bool recursive) {
  task.cancelled = true;
  const std::shared_ptr<ActorState> actor = task.actor;
  if (task.state == Task::State::kInFlight) return calls_.send_cancel(task, force, recursive);
  std::erase(actor->queue, task.slot);
  ErrorInfo error;
  error.kind = ErrorKind::kCancelled;
  error.what = "the call was cancelled before it was sent";
  fail_call(*actor, task, std::move(error));
  flush(*actor);
}

void ActorClient::kill(ActorState& actor, bool no_restart) {
  proto::KillActor request;
  request.set_actor_id(actor.id.bytes());
  request.set_no_restart(no_restart);
  request.set_why("killed by mobula::kill()");
  subscribe(actor);
  if (no_restart && actor.phase != ActorState::Phase::kDead) {
    // For later calls of this process it is dead from now on; what is under way ends with the GCS's news.
    actor.killed = true;
    actor.phase = ActorState::Phase::kDead;
    actor.death = ErrorInfo{.kind = ErrorKind::kActorDied, .what = "actor " + actor.class_name + " was killed"};
    flush(actor);
  }
  raylet_.rpc().ask<proto::Empty>(proto::KILL_ACTOR, request, kGcsTimeout, [](Result<proto::Empty>) {});
}

// ---- news -------------------------------------------------------------------------------------------

void ActorClient::on_info(const proto::ActorInfo& info) {
  const auto id = ActorId::from_string(info.actor_id());
  if (!id) return;
  const auto it = actors_.find(*id);
  const auto actor = it == actors_.end() ? nullptr : it->second.lock();
  if (actor == nullptr || (info.version() <= actor->version && actor->version != 0)) return;
  actor->version = info.version();
  if (actor->killed && info.state() != proto::ActorInfo::DEAD) return;
  actor->max_task_retries = info.max_task_retries();
  actor->max_pending_calls = info.max_pending_calls();
  if (actor->class_name.empty()) actor->class_name = info.class_name();
  switch (info.state()) {
    case proto::ActorInfo::ALIVE: become_alive(*actor, info); break;
    case proto::ActorInfo::DEAD: become_dead(*actor, info); break;
    case proto::ActorInfo::RESTARTING:
      actor->phase = ActorState::Phase::kRestarting;
      lose_in_flight(*actor, true);
      break;
    default: actor->phase = ActorState::Phase::kPending; break;
  }
  engine_.notify();
}

void ActorClient::become_alive(ActorState& actor, const proto::ActorInfo& info) {
  const auto address = from_proto(info.address());
  if (!address) return;
  if (actor.phase == ActorState::Phase::kAlive && actor.incarnation == info.incarnation()) return;
  if (actor.incarnation != info.incarnation()) lose_in_flight(actor, true);
  actor.phase = ActorState::Phase::kAlive;
  actor.incarnation = info.incarnation();
  actor.next_sequence = 0;
  Peer& peer = links_.peer(*address);
  actor.peer = peer.lost ? nullptr : &peer;
  flush(actor);
}

void ActorClient::become_dead(ActorState& actor, const proto::ActorInfo& info) {
  auto error = base::decode_error_info(base::as_bytes(info.error()));
  actor.phase = ActorState::Phase::kDead;
  actor.death = error ? std::move(*error) : ErrorInfo{.kind = ErrorKind::kActorDied, .what = "the actor has died"};
  constructor_arguments_.erase(actor.id);
  lose_in_flight(actor, false);
  flush(actor);
}

// Calls that were sent and not answered: may have run.  Run again only where the actor's user allowed it.
void ActorClient::lose_in_flight(ActorState& actor, bool may_retry) {
  actor.peer = nullptr;
  ++actor.losses;
  const auto lost = std::exchange(actor.in_flight, {});
  std::vector<std::uint32_t> again;
  for (const std::uint32_t slot : lost) {
    Task& task = calls_.tasks().at(slot);
    const bool retry =
        may_retry && !task.cancelled &&
        (actor.max_task_retries < 0 || task.attempt < static_cast<std::uint32_t>(actor.max_task_retries));
    if (retry) {
      ++task.attempt;
      task.state = Task::State::kReady;
      task.worker = nullptr;
      again.push_back(slot);
    } else {
      fail_call(actor, task, actor.phase == ActorState::Phase::kDead ? died(actor) : unavailable(actor));
    }
  }
  actor.queue.insert(actor.queue.begin(), again.begin(), again.end());
}

void ActorClient::on_peer_lost(Peer& peer) {
  std::vector<std::shared_ptr<ActorState>> hit;
  for (const auto& [id, weak] : actors_) {
    if (auto actor = weak.lock(); actor != nullptr && actor->peer == &peer) hit.push_back(std::move(actor));
  }
  for (const auto& actor : hit) {
    actor->peer = nullptr;
    const std::uint64_t loss = ++actor->losses;
    actor->subscribed = false;
    subscribe(*actor);  // Ask as well as wait: no wait depends on one message.
    engine_.loop().after(kNewsGrace, [this, actor, loss] {
      if (actor->losses == loss && actor->phase == ActorState::Phase::kAlive) lose_in_flight(*actor, true);
    });
  }
}

ErrorInfo ActorClient::died(const ActorState& actor) const {
  ErrorInfo error = actor.death.value_or(ErrorInfo{});
  if (error.kind != ErrorKind::kClusterDown) error.kind = ErrorKind::kActorDied;
  if (error.what.empty()) error.what = "actor " + actor.class_name + " has died";
  error.evidence.push_back("actor " + actor.class_name + " " + actor.id.short_hex());
  return error;
}

ErrorInfo ActorClient::unavailable(const ActorState& actor) const {
  ErrorInfo error;
  error.kind = ErrorKind::kActorUnavailable;
  error.what = "the process of actor " + actor.class_name + " was lost while the call was under way; it may have run";
  error.evidence.push_back("actor " + actor.id.short_hex() + ", run " + std::to_string(actor.incarnation));
  error.remedy = "call again, or let calls be retried: .with({.max_restarts = n, .max_task_retries = n})";
  return error;
}

void ActorClient::fail_all(const ErrorInfo& error) {
  down_ = error;
  for (const auto& [id, weak] : actors_) {
    const auto actor = weak.lock();
    if (actor == nullptr || actor->phase == ActorState::Phase::kDead) continue;
    actor->phase = ActorState::Phase::kDead;
    actor->death = error;
    lose_in_flight(*actor, false);
    flush(*actor);
  }
}

}  // namespace mobula::runtime
