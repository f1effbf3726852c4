#pragma once

#include <memory>
#include <span>
#include <string>

#include "core/worker/actor_calls.h"
#include "core/worker/actor_creations.h"
#include "core/worker/actor_directory.h"
#include "core/worker/engine.h"
#include "core/worker/raylet_link.h"

namespace mobula::runtime {

// Actors as callers see them: creation, names, ordered calls, death.
//
// Under the engine's lock.
class ActorClient {
 public:
  ActorClient(Engine& engine, Calls& calls, Links& links, References& references, RayletLink& raylet);

  base::Result<ActorRef> create(Engine::Lock& lock, const FunctionEntry& constructor, const ActorSpecOptions& options,
                                const ActorId& id, const base::JobId& job, Arguments&& arguments) {
    return creations_.create(lock, constructor, options, id, job, std::move(arguments));
  }
  base::Result<ActorRef> get_named(Engine::Lock& lock, const std::string& name, const std::string& ns);
  ActorRef adopt(const ActorId& id, const ProcessAddress& owner, const std::string& class_name) {
    return directory_.adopt(id, owner, class_name);
  }
  void call(const ActorRef& actor, const FunctionEntry& method, const base::TaskId& id, Arguments&& arguments,
            std::span<ObjectRef> out);
  void call_again(const ActorRef& actor, Task& task);
  void cancel(Task& task, bool force, bool recursive) { calls_.cancel(task, force, recursive); }
  void kill(ActorState& actor, bool no_restart);

  void on_reply(Peer& from, Task& task, const ReplyHeader& header, ConstBytes payload) {
    calls_.on_reply(from, task, header, payload);
  }
  void on_info(const proto::ActorInfo& info) { directory_.on_info(info); }
  void on_peer_lost(Peer& peer) { directory_.on_peer_lost(peer); }
  void fail_all(const ErrorInfo& error);
  void drain() { calls_.drain(); }
  std::size_t calls_in_flight() const { return calls_.in_flight(); }
  ActorDirectory& directory() { return directory_; }

 private:
  Engine& engine_;
  RayletLink& raylet_;
  ActorCalls calls_;
  ActorDirectory directory_;
  ActorCreations creations_;
};

}  // namespace mobula::runtime
