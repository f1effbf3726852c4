#pragma once

#include <optional>
#include <span>

#include "core/worker/actor_state.h"
#include "core/worker/calls.h"
#include "core/worker/engine.h"

namespace mobula::runtime {

// Calls to actors: sent and run in the order in which this process made them, so that one whose arguments are not there
// yet holds up those behind it; and what becomes of them when the actor's process dies.
//
// Under the engine's lock.
class ActorCalls final : public CallTracker {
 public:
  ActorCalls(Engine& engine, Calls& calls) : engine_(engine), calls_(calls) {}

  void call(const ActorRef& actor, const FunctionEntry& method, const base::TaskId& id, Arguments&& arguments,
            std::span<ObjectRef> out);
  // A call that Calls::make_again() has made.
  void call_again(const ActorRef& actor, Task& task);
  void cancel(Task& task, bool force, bool recursive);
  void on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload);

  // Sends what may leave by now, or fails it where the actor is dead.
  void flush(ActorState& actor);
  // The actor's process has gone.  What was sent and not answered may have run: it is run again only where the actor's
  // user allowed it.
  enum class Retry { kNo, kWhereAllowed };
  void lose_in_flight(ActorState& actor, Retry retry);
  void drain() { draining_ = true; }  // Sends no further call.
  std::size_t in_flight() const { return in_flight_; }
  // Later calls fail with this error.
  void refuse_all(const ErrorInfo& error) { down_ = error; }

 private:
  void arguments_ready(Task& task) override;
  void argument_failed(Task& task, const ErrorInfo& error) override;
  void start(ActorState& actor, Task& task);
  void end_call(ActorState& actor, Task& task);
  void fail_call(Task& task, ErrorInfo error);
  void send(ActorState& actor, Task& task);

  Engine& engine_;
  Calls& calls_;
  std::optional<ErrorInfo> down_;
  bool draining_ = false;
  std::size_t in_flight_ = 0;  // Of all actors.
};

}  // namespace mobula::runtime
