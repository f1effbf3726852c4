#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>

#include "core/rpc/rpc.h"
#include "core/worker/actor_state.h"
#include "core/worker/calls.h"
#include "core/worker/engine.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// Actors as callers see them: creation, ordered calls, and what becomes of calls when the actor's process dies.
//
// Calls of one process to one actor are sent, and run, in the order in which they were made; a call whose arguments are
// not there yet holds up those behind it.  Under the engine's lock.
class ActorClient final : public CallTracker {
 public:
  ActorClient(Engine& engine, Calls& calls, Links& links, References& references, RayletLink& raylet);
  ~ActorClient();

  // Registers with the GCS once the arguments are there.  Waits for the GCS's answer when the actor has a name, since
  // that may be taken.
  base::Result<ActorRef> create(Engine::Lock& lock, const FunctionEntry& constructor, const ActorSpecOptions& options,
                                const ActorId& id, const base::JobId& job, Arguments&& arguments);
  void call(const ActorRef& actor, const FunctionEntry& method, const base::TaskId& id, Arguments&& arguments,
            std::span<ObjectRef> out);
  base::Result<ActorRef> get_named(Engine::Lock& lock, const std::string& name, const std::string& ns);
  void kill(ActorState& actor, bool no_restart);
  void cancel(Task& task, bool force, bool recursive);

  // A handle that came in a value.
  ActorRef adopt(const ActorId& id, const ProcessAddress& owner, const std::string& class_name);

  void on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload);
  void on_info(const proto::ActorInfo& info);
  void on_peer_lost(Peer& peer);
  void fail_all(const ErrorInfo& error);

 private:
  struct Creation;

  std::shared_ptr<ActorState> state_of(const ActorId& id);
  void subscribe(ActorState& actor);
  bool ask_again(const std::shared_ptr<ActorState>& actor);
  void arguments_ready(Task& task) override;
  void argument_failed(Task& task, const ErrorInfo& error) override;
  void register_actor(Task& task, Creation& creation);
  void flush(ActorState& actor);
  void end_call(ActorState& actor, Task& task);
  void fail_call(ActorState& actor, Task& task, ErrorInfo error);
  void lose_in_flight(ActorState& actor, bool may_retry);
  void become_alive(ActorState& actor, const proto::ActorInfo& info);
  void become_dead(ActorState& actor, const proto::ActorInfo& info);
  ErrorInfo died(const ActorState& actor) const;
  ErrorInfo unavailable(const ActorState& actor) const;
  void out_of_scope(const ActorId& id);
  bool watch_handle(ActorState& actor, const proto::ActorInfo& info);

  Engine& engine_;
  Calls& calls_;
  Links& links_;
  References& references_;
  RayletLink& raylet_;
  std::unordered_map<ActorId, std::weak_ptr<ActorState>> actors_;
  std::unordered_map<ActorId, std::unique_ptr<Creation>> creations_;  // Until the GCS has answered.
  std::unordered_map<ActorId, Arguments> constructor_arguments_;      // Held for restarts while the actor lives.
  std::optional<ErrorInfo> down_;
};

}  // namespace mobula::runtime
