#pragma once

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "core/worker/actor_calls.h"
#include "core/worker/actor_state.h"
#include "core/worker/engine.h"
#include "core/worker/raylet_link.h"
#include "core/worker/references.h"

namespace mobula::runtime {

// The actors that this process knows of, by id, and the news of them: asked for and pushed by the GCS, or told by the
// loss of their process.
//
// Under the engine's lock.
class ActorDirectory {
 public:
  ActorDirectory(Engine& engine, Links& links, References& references, RayletLink& raylet, ActorCalls& calls)
      : engine_(engine), links_(links), references_(references), raylet_(raylet), calls_(calls) {}

  std::shared_ptr<ActorState> state_of(const ActorId& id);
  // A handle that came in a value.
  ActorRef adopt(const ActorId& id, const ProcessAddress& owner, const std::string& class_name);
  // An actor that the GCS has told of, under whatever name it was asked for.
  ActorRef found(const ActorId& id, const proto::ActorInfo& info);

  // Told under the engine's lock of each change.  Once.
  void tell_changes_to(std::function<void(const ActorState&)> listener) { changed_ = std::move(listener); }
  void subscribe(ActorState& actor);
  void on_info(const proto::ActorInfo& info);
  void on_peer_lost(Peer& peer);
  void fail_all(const ErrorInfo& error);

  // A restart runs the constructor again: what its arguments refer to lives as long as the actor may.
  void keep_for_restarts(const ActorId& id, Arguments&& arguments) {
    constructor_arguments_[id] = std::move(arguments);
  }
  // Nobody anywhere holds a handle of this process's actor any more.
  void out_of_scope(const ActorId& id);

 private:
  bool ask_again(const std::shared_ptr<ActorState>& actor);
  void watch_handle(ActorState& actor, const proto::ActorInfo& info);
  void become_alive(ActorState& actor, const proto::ActorInfo& info);
  void become_dead(ActorState& actor, const proto::ActorInfo& info);

  Engine& engine_;
  Links& links_;
  References& references_;
  RayletLink& raylet_;
  ActorCalls& calls_;
  std::unordered_map<ActorId, std::weak_ptr<ActorState>> actors_;
  std::unordered_map<ActorId, Arguments> constructor_arguments_;
  std::function<void(const ActorState&)> changed_;
};

}  // namespace mobula::runtime
