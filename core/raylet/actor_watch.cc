#include "core/raylet/actor_watch.h"

#include <utility>

namespace mobula::raylet {

using base::ActorId;
using base::WorkerId;

void ActorWatch::serve(rpc::Rpc& rpc, const WorkerId& watcher) {
  rpc.on<proto::ActorQuery>(proto::SUBSCRIBE_ACTOR,
                            [this, watcher](proto::ActorQuery&& query, rpc::Responder responder) {
                              const auto named = ActorId::from_string(query.actor_id());
                              // Before the answer: a change may come right after it.
                              if (named) watchers_[*named].insert(watcher);
                              const auto answer = [this, watcher, responder](base::Result<proto::ActorInfo> info) {
                                if (!info) return responder.fail(info.error());
                                if (const auto actor = ActorId::from_string(info->actor_id()))
                                  watchers_[*actor].insert(watcher);
                                responder.reply(*info);
                              };
                              gcs_.ask<proto::ActorInfo>(proto::SUBSCRIBE_ACTOR, query, rpc::kNoDeadline, answer);
                            });
}

void ActorWatch::changed(const proto::ActorInfo& info) {
  const auto actor = ActorId::from_string(info.actor_id());
  const auto it = actor ? watchers_.find(*actor) : watchers_.end();
  if (it == watchers_.end()) return;
  for (const WorkerId& watcher : it->second) {
    if (rpc::Rpc* rpc = client_(watcher)) (void)rpc->notify(proto::ACTOR_CHANGED, info);
  }
  if (info.state() == proto::ActorInfo::DEAD) watchers_.erase(it);
}

void ActorWatch::forget(const WorkerId& watcher) {
  for (auto it = watchers_.begin(); it != watchers_.end();) {
    it->second.erase(watcher);
    it = it->second.empty() ? watchers_.erase(it) : std::next(it);
  }
}

}  // namespace mobula::raylet
