#include "core/worker/actor_calls.h"

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace mobula::runtime {
namespace {

using base::ErrorKind;

// Why it is dead says more than that it is.
bool keeps_its_kind(ErrorKind kind) {
  return kind == ErrorKind::kClusterDown || kind == ErrorKind::kUnschedulable || kind == ErrorKind::kOutOfMemory;
}

ErrorInfo died(const ActorState& actor) {
  ErrorInfo error = actor.death.value_or(ErrorInfo{});
  if (!keeps_its_kind(error.kind)) error.kind = ErrorKind::kActorDied;
  if (error.what.empty()) error.what = "actor " + actor.class_name + " has died";
  error.evidence.push_back("actor " + actor.class_name + " " + actor.id.short_hex());
  return error;
}

ErrorInfo unavailable(const ActorState& actor) {
  ErrorInfo error;
  error.kind = ErrorKind::kActorUnavailable;
  error.what = "the process of actor " + actor.class_name + " was lost while the call was under way; it may have run";
  error.evidence.push_back("actor " + actor.id.short_hex() + ", run " + std::to_string(actor.incarnation));
  error.remedy = "call again, or let calls be retried: .with({.max_restarts = n, .max_task_retries = n})";
  return error;
}

ErrorInfo too_many_pending(const ActorState& actor, std::size_t pending) {
  ErrorInfo error;
  error.kind = ErrorKind::kPendingCallsLimit;
  error.what = "actor " + actor.class_name + " has " + std::to_string(pending) + " calls pending from this process";
  error.evidence.push_back("max_pending_calls = " + std::to_string(actor.max_pending_calls));
  error.remedy = "wait for results before calling on, or raise max_pending_calls";
  return error;
}

}  // namespace

void ActorCalls::call(const ActorRef& ref, const FunctionEntry& method, const base::TaskId& id, Arguments&& arguments,
                      std::span<ObjectRef> out) {
  ActorState& actor = *ref.state();
  Task& task = calls_.make(method, id, std::move(arguments), out);
  task.target = Target::kActor;
  task.actor = ref.state();
  engine_.work_began();
  if (task.arguments.failure_ != nullptr) return fail_call(task, ErrorInfo(*task.arguments.failure_));
  if (down_) return fail_call(task, *down_);
  const std::size_t pending = actor.queue.size() + actor.in_flight.size();
  if (actor.max_pending_calls >= 0 && pending >= static_cast<std::size_t>(actor.max_pending_calls)) {
    return fail_call(task, too_many_pending(actor, pending));
  }
  start(actor, task);
}

void ActorCalls::call_again(const ActorRef& actor, Task& task) {
  task.target = Target::kActor;
  task.actor = actor.state();
  engine_.work_began();
  if (down_) return fail_call(task, *down_);
  start(*actor.state(), task);
}

void ActorCalls::start(ActorState& actor, Task& task) {
  if (actor.phase == ActorState::Phase::kDead) return fail_call(task, died(actor));
  // The steady state: nothing waits, the actor is there.
  if (actor.queue.empty() && actor.peer != nullptr && task.arguments.dependencies_.empty() && !draining_) {
    return send(actor, task);
  }
  actor.queue.push_back(task.slot);
  if (await_arguments(task, *this)) arguments_ready(task);
}

void ActorCalls::arguments_ready(Task& task) {
  task.state = Task::State::kReady;
  flush(*task.actor);
}

void ActorCalls::argument_failed(Task& task, const ErrorInfo& error) {
  const std::shared_ptr<ActorState> actor = task.actor;
  std::erase(actor->queue, task.slot);
  fail_call(task, error);
  flush(*actor);
}

void ActorCalls::flush(ActorState& actor) {
  if (actor.phase == ActorState::Phase::kDead) {
    const auto failed = std::exchange(actor.queue, {});
    for (const std::uint32_t slot : failed) fail_call(calls_.tasks().at(slot), died(actor));
    return;
  }
  while (actor.peer != nullptr && !actor.queue.empty() && !draining_) {
    Task& task = calls_.tasks().at(actor.queue.front());
    if (task.state != Task::State::kReady) return;
    actor.queue.pop_front();
    send(actor, task);
  }
}

void ActorCalls::send(ActorState& actor, Task& task) {
  task.sequence = actor.next_sequence++;
  actor.in_flight.push_back(task.slot);
  ++in_flight_;
  calls_.send(task, *actor.peer, actor.incarnation);
}

void ActorCalls::end_call(ActorState& actor, Task& task) {
  engine_.work_ended();
  // Replies come nearly in order.
  const auto at = std::ranges::find(actor.in_flight, task.slot);
  if (at == actor.in_flight.end()) return;
  actor.in_flight.erase(at);
  --in_flight_;
}

void ActorCalls::fail_call(Task& task, ErrorInfo error) {
  engine_.work_ended();
  const std::shared_ptr<ActorState> keep = task.actor;
  calls_.fail(task, std::move(error));
}

void ActorCalls::on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload) {
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

void ActorCalls::cancel(Task& task, bool force, bool recursive) {
  task.cancelled = true;
  const std::shared_ptr<ActorState> actor = task.actor;
  if (task.state == Task::State::kInFlight) return calls_.send_cancel(task, force, recursive);
  std::erase(actor->queue, task.slot);
  ErrorInfo error;
  error.kind = ErrorKind::kCancelled;
  error.what = "the call was cancelled before it was sent";
  fail_call(task, std::move(error));
  flush(*actor);
}

void ActorCalls::lose_in_flight(ActorState& actor, Retry allowed) {
  actor.peer = nullptr;
  ++actor.losses;
  const auto lost = std::exchange(actor.in_flight, {});
  in_flight_ -= lost.size();
  std::vector<std::uint32_t> again;
  for (const std::uint32_t slot : lost) {
    Task& task = calls_.tasks().at(slot);
    calls_.hold_after_loss(task);
    const bool retry =
        allowed == Retry::kWhereAllowed && !task.cancelled &&
        (actor.max_task_retries < 0 || task.attempt < static_cast<std::uint32_t>(actor.max_task_retries));
    if (retry) {
      ++task.attempt;
      task.state = Task::State::kReady;
      task.worker = nullptr;
      again.push_back(slot);
    } else {
      fail_call(task, actor.phase == ActorState::Phase::kDead ? died(actor) : unavailable(actor));
    }
  }
  actor.queue.insert(actor.queue.begin(), again.begin(), again.end());
}

}  // namespace mobula::runtime
