#include "core/worker/actor_creations.h"

#include <string>
#include <utility>

#include "core/worker/options_codec.h"

namespace mobula::runtime {
namespace {

using base::Code;
using base::Error;
using base::ErrorKind;
using base::Result;

constexpr auto kGcsTimeout = std::chrono::seconds(10);

// The actor whose constructor this call is.
ActorId actor_of(const Task& task) { return ActorId::from_bytes(task.id.words.data()); }

}  // namespace

struct ActorCreations::Creation {
  std::shared_ptr<ActorState> actor;
  proto::RegisterActor request;
  std::optional<Result<proto::ActorInfo>> answer;
};

ActorCreations::ActorCreations(Parts parts) : p_(parts) {}
ActorCreations::~ActorCreations() = default;

Result<ActorRef> ActorCreations::create(Engine::Lock& lock, const FunctionEntry& constructor,
                                        const ActorSpecOptions& options, const ActorId& id, const base::JobId& job,
                                        Arguments&& arguments) {
  if (arguments.failure_ != nullptr) return Error{Code::kInvalid, arguments.failure_->what};
  auto creation = std::make_unique<Creation>();
  creation->actor = p_.directory.state_of(id);
  ActorState& actor = *creation->actor;
  actor.phase = ActorState::Phase::kPending;
  actor.class_name = class_name(constructor);
  actor.owner = p_.links.self();
  actor.max_task_retries = options.max_task_retries;
  actor.max_pending_calls = options.max_pending_calls;
  if (!options.detached) {
    actor.handle = ObjectRef(p_.references.make(handle_of(id)));
    LocalObject& handle = local(actor.handle);
    handle.settle_inline({});
    p_.references.list(handle);
    handle.more().on_gone = [&directory = p_.directory, id] { directory.out_of_scope(id); };
  }
  describe(*creation, constructor, options, job);

  ObjectRef unused;
  Task& task =
      p_.calls.make(constructor, base::TaskId::from_bytes(id.words.data()), std::move(arguments), {&unused, 1});
  task.target = Target::kActor;
  p_.engine.work_began();
  Creation& waiting = *creation;
  creations_[id] = std::move(creation);
  const std::shared_ptr<ActorState> state = waiting.actor;
  if (await_arguments(task, *this)) register_actor(task, waiting);
  if (options.name.empty()) return ActorRef(state);
  return wait_for_answer(lock, id);
}

void ActorCreations::describe(Creation& creation, const FunctionEntry& constructor, const ActorSpecOptions& options,
                              const base::JobId& job) {
  proto::ActorSpec& spec = *creation.request.mutable_spec();
  spec.set_actor_id(creation.actor->id.bytes());
  spec.set_job_id(job.bytes());
  *spec.mutable_owner() = to_proto(p_.links.self());
  spec.set_class_name(creation.actor->class_name);
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
  fill(*spec.mutable_strategy(), options.strategy, options.placement_group, options.bundle);
  for (const auto& [key, value] : options.labels) (*spec.mutable_labels())[key] = value;
}

// REQUIRES: the actor has a name, which keeps its creation until this has read the answer.
Result<ActorRef> ActorCreations::wait_for_answer(Engine::Lock& lock, const ActorId& id) {
  Creation& waiting = *creations_.at(id);
  p_.engine.wait(
      lock, [&] { return waiting.answer.has_value() || down_; }, std::nullopt);
  if (!waiting.answer) return Error{Code::kUnavailable, down_->what};
  const ActorRef made(waiting.actor);
  const Result<proto::ActorInfo> answer = std::move(*waiting.answer);
  creations_.erase(id);
  if (!answer) return answer.error();
  const auto existing = ActorId::from_string(answer->actor_id());
  return existing && *existing != id ? p_.directory.found(*existing, *answer) : made;
}

void ActorCreations::arguments_ready(Task& task) { register_actor(task, *creations_[actor_of(task)]); }

void ActorCreations::argument_failed(Task& task, const ErrorInfo& error) {
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
  end(task);
  p_.actor_calls.flush(*actor);
  p_.engine.notify();
}

void ActorCreations::register_actor(Task& task, Creation& creation) {
  base::Buffer scratch;
  const ConstBytes payload = p_.calls.payload_of(task, scratch);
  base::Buffer arguments;
  arguments.put(task.arguments.count_);
  arguments.put(static_cast<std::uint32_t>(task.arguments.bytes_.size()));
  arguments.put(static_cast<std::uint32_t>(task.arguments.dependencies_.size()));
  arguments.append(payload);
  creation.request.mutable_spec()->set_arguments(std::string(base::as_string_view(arguments.view())));
  if (!task.arguments.dependencies_.empty() || !task.arguments.contained_.empty()) {
    p_.directory.keep_for_restarts(creation.actor->id, std::move(task.arguments));
  }
  p_.raylet.rpc().ask<proto::ActorInfo>(
      proto::REGISTER_ACTOR, creation.request, kGcsTimeout,
      [this, actor = creation.actor](Result<proto::ActorInfo> answer) { registered(*actor, std::move(answer)); });
  end(task);
}

void ActorCreations::registered(ActorState& actor, Result<proto::ActorInfo> answer) {
  const auto it = creations_.find(actor.id);
  if (it == creations_.end()) return;
  if (!answer) {
    ErrorInfo error;
    error.kind = ErrorKind::kActorDied;
    error.what = "the actor could not be created: " + answer.error().what;
    actor.phase = ActorState::Phase::kDead;
    actor.death = error;
    p_.actor_calls.flush(actor);
  } else if (answer->actor_id() == actor.id.bytes()) {
    p_.directory.subscribe(actor);
    p_.directory.on_info(*answer);
  }
  if (it->second->request.spec().name().empty()) {
    creations_.erase(it);
  } else {
    it->second->answer = std::move(answer);
  }
  p_.engine.notify();
}

// The constructor's task only carried the arguments: the actor's state says the rest.
void ActorCreations::end(Task& task) {
  p_.engine.work_ended();
  p_.calls.tasks().release(task);
}

}  // namespace mobula::runtime
