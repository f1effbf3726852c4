#include "core/worker/actor_directory.h"

#include <utility>
#include <vector>

namespace mobula::runtime {
namespace {

using base::Code;
using base::ErrorKind;
using base::Result;

constexpr auto kGcsTimeout = std::chrono::seconds(10);
constexpr auto kNewsGrace = std::chrono::seconds(4);  // For the GCS to say what became of a lost actor.

}  // namespace

std::shared_ptr<ActorState> ActorDirectory::state_of(const ActorId& id) {
  auto& slot = actors_[id];
  auto state = slot.lock();
  if (state == nullptr) {
    state = std::make_shared<ActorState>(id);
    slot = state;
  }
  return state;
}

ActorRef ActorDirectory::adopt(const ActorId& id, const ProcessAddress& owner, const std::string& class_name) {
  const auto state = state_of(id);
  if (state->class_name.empty()) state->class_name = class_name;
  if (!state->handle && !owner.worker.is_nil()) {
    state->owner = owner;
    state->handle = references_.adopt(handle_of(id), owner, References::Borrow::kNow);
  }
  return ActorRef(state);
}

void ActorDirectory::watch_handle(ActorState& actor, const proto::ActorInfo& info) {
  actor.class_name = info.class_name();
  if (actor.handle || !info.has_owner()) return;
  const auto owner = from_proto(info.owner());
  if (!owner) return;
  actor.owner = *owner;
  actor.handle = owner->worker == links_.self().worker
                     ? references_.find(handle_of(actor.id))
                     : references_.adopt(handle_of(actor.id), *owner, References::Borrow::kNow);
}

ActorRef ActorDirectory::found(const ActorId& id, const proto::ActorInfo& info) {
  const auto state = state_of(id);
  watch_handle(*state, info);
  subscribe(*state);
  on_info(info);
  return ActorRef(state);
}

void ActorDirectory::subscribe(ActorState& actor) {
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
        calls_.flush(*state);
        if (changed_) changed_(*state);
      });
}

// A handle may be faster than the news of its actor: until the maker's registration has reached the GCS, that knows of
// none.
bool ActorDirectory::ask_again(const std::shared_ptr<ActorState>& actor) {
  constexpr int kAsksMax = 9;  // 2, 4, ... ms: a second in all.
  if (actor->phase != ActorState::Phase::kUnknown || actor->unheard_of == kAsksMax) return false;
  engine_.loop().after(std::chrono::milliseconds(1 << ++actor->unheard_of), [this, weak = std::weak_ptr(actor)] {
    if (const auto state = weak.lock()) subscribe(*state);
  });
  return true;
}

void ActorDirectory::on_info(const proto::ActorInfo& info) {
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
      calls_.lose_in_flight(*actor, ActorCalls::Retry::kWhereAllowed);
      break;
    default: actor->phase = ActorState::Phase::kPending; break;
  }
  if (changed_) changed_(*actor);
  engine_.notify();
}

void ActorDirectory::become_alive(ActorState& actor, const proto::ActorInfo& info) {
  const auto address = from_proto(info.address());
  if (!address) return;
  if (actor.phase == ActorState::Phase::kAlive && actor.incarnation == info.incarnation()) return;
  if (actor.incarnation != info.incarnation()) calls_.lose_in_flight(actor, ActorCalls::Retry::kWhereAllowed);
  actor.phase = ActorState::Phase::kAlive;
  actor.incarnation = info.incarnation();
  actor.next_sequence = 0;
  Peer& peer = links_.peer(*address);
  actor.peer = peer.lost ? nullptr : &peer;
  calls_.flush(actor);
}

void ActorDirectory::become_dead(ActorState& actor, const proto::ActorInfo& info) {
  auto error = base::decode_error_info(base::as_bytes(info.error()));
  actor.phase = ActorState::Phase::kDead;
  actor.death = error ? std::move(*error) : ErrorInfo{.kind = ErrorKind::kActorDied, .what = "the actor has died"};
  constructor_arguments_.erase(actor.id);
  calls_.lose_in_flight(actor, ActorCalls::Retry::kNo);
  calls_.flush(actor);
}

void ActorDirectory::on_peer_lost(Peer& peer) {
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
      if (actor->losses == loss && actor->phase == ActorState::Phase::kAlive)
        calls_.lose_in_flight(*actor, ActorCalls::Retry::kWhereAllowed);
    });
  }
}

void ActorDirectory::fail_all(const ErrorInfo& error) {
  calls_.refuse_all(error);
  for (const auto& [id, weak] : actors_) {
    const auto actor = weak.lock();
    if (actor == nullptr || actor->phase == ActorState::Phase::kDead) continue;
    actor->phase = ActorState::Phase::kDead;
    actor->death = error;
    calls_.lose_in_flight(*actor, ActorCalls::Retry::kNo);
    calls_.flush(*actor);
  }
}

void ActorDirectory::out_of_scope(const ActorId& id) {
  constructor_arguments_.erase(id);
  actors_.erase(id);
  if (!raylet_.is_open()) return;
  proto::ActorQuery query;
  query.set_actor_id(id.bytes());
  raylet_.rpc().ask<proto::Empty>(proto::ACTOR_OUT_OF_SCOPE, query, kGcsTimeout, [](Result<proto::Empty>) {});
}

}  // namespace mobula::runtime
