#pragma once

#include <memory>
#include <optional>
#include <unordered_map>

#include "core/worker/actor_calls.h"
#include "core/worker/actor_directory.h"
#include "core/worker/calls.h"
#include "core/worker/engine.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// Actors on their way into being: from the constructor's arguments to the GCS's answer.
//
// Under the engine's lock.
class ActorCreations final : public CallTracker {
 public:
  struct Parts {
    Engine& engine;
    Calls& calls;
    Links& links;
    References& references;
    RayletLink& raylet;
    ActorDirectory& directory;
    ActorCalls& actor_calls;
  };
  explicit ActorCreations(Parts parts);
  ~ActorCreations();

  // Registers with the GCS once the arguments are there.  Waits for the GCS's answer when the actor has a name, since
  // that may be taken.
  base::Result<ActorRef> create(Engine::Lock& lock, const FunctionEntry& constructor, const ActorSpecOptions& options,
                                const ActorId& id, const base::JobId& job, Arguments&& arguments);
  // The cluster is gone: whoever waits for an answer gets this one.
  void fail_all(const ErrorInfo& error) { down_ = error; }

 private:
  struct Creation;

  void describe(Creation& creation, const FunctionEntry& constructor, const ActorSpecOptions& options,
                const base::JobId& job);
  base::Result<ActorRef> wait_for_answer(Engine::Lock& lock, const ActorId& id);
  void arguments_ready(Task& task) override;
  void argument_failed(Task& task, const ErrorInfo& error) override;
  void register_actor(Task& task, Creation& creation);
  void registered(ActorState& actor, base::Result<proto::ActorInfo> answer);
  void end(Task& task);

  Parts p_;
  std::unordered_map<ActorId, std::unique_ptr<Creation>> creations_;  // Until the GCS has answered.
  std::optional<ErrorInfo> down_;
};

}  // namespace mobula::runtime
