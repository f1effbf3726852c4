#include "core/worker/actor_client.h"

#include <optional>
#include <utility>

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::ErrorKind;
using base::Result;

constexpr auto kGcsTimeout = std::chrono::seconds(10);

}  // namespace

ActorClient::ActorClient(Engine& engine, Calls& calls, Links& links, References& references, RayletLink& raylet)
    : engine_(engine),
      raylet_(raylet),
      calls_(engine, calls),
      directory_(engine, links, references, raylet, calls_),
      creations_({engine, calls, links, references, raylet, directory_, calls_}) {}

void ActorClient::call(const ActorRef& actor, const FunctionEntry& method, const base::TaskId& id,
                       Arguments&& arguments, std::span<ObjectRef> out) {
  calls_.call(actor, method, id, std::move(arguments), out);
  ActorState& state = *actor.state();
  if (state.phase == ActorState::Phase::kUnknown && !state.queue.empty()) directory_.subscribe(state);
}

void ActorClient::call_again(const ActorRef& actor, Task& task) {
  calls_.call_again(actor, task);
  ActorState& state = *actor.state();
  if (state.phase == ActorState::Phase::kUnknown && !state.queue.empty()) directory_.subscribe(state);
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
  return directory_.found(*id, *info);
}

void ActorClient::kill(ActorState& actor, bool no_restart) {
  proto::KillActor request;
  request.set_actor_id(actor.id.bytes());
  request.set_no_restart(no_restart);
  request.set_why("killed by mobula::kill()");
  directory_.subscribe(actor);
  if (no_restart && actor.phase != ActorState::Phase::kDead) {
    // For later calls of this process it is dead from now on; what is under way ends with the GCS's news.
    actor.killed = true;
    actor.phase = ActorState::Phase::kDead;
    actor.death = ErrorInfo{.kind = ErrorKind::kActorDied, .what = "actor " + actor.class_name + " was killed"};
    calls_.flush(actor);
  }
  raylet_.rpc().ask<proto::Empty>(proto::KILL_ACTOR, request, kGcsTimeout, [](Result<proto::Empty>) {});
}

void ActorClient::fail_all(const ErrorInfo& error) {
  creations_.fail_all(error);
  directory_.fail_all(error);
}

}  // namespace mobula::runtime
