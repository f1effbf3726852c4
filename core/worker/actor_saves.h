#pragma once

#include <optional>
#include <string>

#include "core/worker/engine.h"
#include "core/worker/hosted_actor.h"
#include "core/worker/saved_state.h"

namespace mobula::runtime {

// The state of this worker's actor: saved when the raylet asks, loaded after the constructor when an earlier run has
// saved it.
//
// Once a save is asked for no further call begins, so that what is saved is the state after the last call that ended;
// after it none runs at all, since the job is about to end.  Under the engine's lock.
class ActorSaves final {
 public:
  ActorSaves(Engine& engine, HostedActor& actor, const SavedState& place)
      : engine_(engine), actor_(actor), place_(place) {}

  void ask(const proto::SaveState& request, const rpc::Responder& responder);
  bool holds_calls() const { return asked_ || saved_.has_value(); }
  bool is_due() const { return asked_ && !saved_; }
  // REQUIRES: is_due(), and no thread runs the actor's code.  Gives the lock up meanwhile.
  void run(Engine::Lock& lock);
  // After the constructor, on the thread that ran it, without the lock.  What load() threw.
  std::optional<ErrorInfo> restore() const;

 private:
  std::string key() const;

  Engine& engine_;
  HostedActor& actor_;
  const SavedState& place_;
  bool asked_ = false;
  std::vector<rpc::Responder> askers_;
  std::optional<proto::StateSaved> saved_;
};

}  // namespace mobula::runtime
