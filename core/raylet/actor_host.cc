#include "core/raylet/actor_host.h"

#include <utility>

#include "core/cluster/convert.h"

namespace mobula::raylet {

using base::ActorId;
using base::LeaseId;
using base::WorkerId;
using cluster::to_id;

void ActorHost::granted(const proto::ActorLease& grant) {
  const auto worker = WorkerId::from_string(grant.worker().worker_id());
  if (!worker) return;
  Actor& actor = actors_[*worker];
  if (!actor.lease.is_nil()) return;  // Said again.
  actor.actor = to_id<ActorId>(grant.actor_id());
  actor.lease = to_id<LeaseId>(grant.lease_id());
  actor.address = grant.worker();
  leases_[actor.lease] = *worker;
}

void ActorHost::start(const proto::ActorLease& message) {
  const auto lease = leases_.find(to_id<LeaseId>(message.lease_id()));
  if (lease == leases_.end()) return;  // Its worker is gone; the machine says so.
  Actor& actor = actors_.at(lease->second);
  if (actor.known) return ports_.to_gcs(actor.outcome);
  if (std::exchange(actor.sent, true)) return;
  actor.incarnation = message.incarnation();
  actor.class_name = message.spec().class_name();
  actor.name = message.spec().name();
  actor.detached = message.spec().detached();
  actor.owner = to_id<WorkerId>(message.spec().owner().worker_id());
  actor.retriable = message.spec().max_restarts() != 0;
  ports_.rename(lease->second, actor.name.empty() ? actor.class_name : actor.name);
  proto::CreateActor create;
  *create.mutable_spec() = message.spec();
  create.set_incarnation(message.incarnation());
  create.set_lease_id(message.lease_id());
  if (rpc::Rpc* rpc = ports_.client(lease->second)) (void)rpc->notify(proto::CREATE_ACTOR, create);
}

void ActorHost::serve(rpc::Rpc& rpc, const WorkerId& worker) {
  rpc.on<proto::ActorStarted>(
      proto::ACTOR_STARTED, [this, worker](proto::ActorStarted&& message, rpc::Responder responder) {
        const auto it = actors_.find(worker);
        if (it == actors_.end() || it->second.actor.bytes() != message.actor_id()) {
          return responder.fail({base::Code::kNotFound, "this worker was not asked to be that actor"});
        }
        proto::ActorLease& outcome = it->second.outcome;
        outcome.set_kind(message.ok() ? proto::ActorLease::STARTED : proto::ActorLease::START_FAILED);
        outcome.set_actor_id(message.actor_id());
        outcome.set_lease_id(it->second.lease.bytes());
        outcome.set_incarnation(message.incarnation());
        outcome.set_cause(message.error());
        *outcome.mutable_worker() = it->second.address;
        it->second.known = true;
        ports_.to_gcs(outcome);
        responder.reply(proto::Empty());
      });
  rpc.on<proto::ActorDied>(proto::ACTOR_DIED, [this, worker](proto::ActorDied&& message, rpc::Responder responder) {
    const auto it = actors_.find(worker);
    if (it != actors_.end() && it->second.actor.bytes() == message.actor_id()) {
      proto::ActorLease exited;
      exited.set_kind(proto::ActorLease::EXITED);
      exited.set_actor_id(message.actor_id());
      exited.set_lease_id(it->second.lease.bytes());
      ports_.to_gcs(exited);
    }
    responder.reply(proto::Empty());
  });
}

void ActorHost::worker_gone(const WorkerId& worker) {
  auto actor = actors_.extract(worker);
  if (!actor.empty()) leases_.erase(actor.mapped().lease);
}

}  // namespace mobula::raylet
