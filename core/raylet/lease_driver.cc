#include "core/raylet/lease_driver.h"

#include <type_traits>
#include <variant>

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::LeaseId;
using base::NodeId;
using base::WorkerId;
using cluster::to_id;

// The machine asks again by itself long before.
constexpr auto kGrantTimeout = std::chrono::seconds(10);

// A program that fails to start so often and for so long, without one success between, does not start.
constexpr std::uint32_t kStartFailuresMax = 5;
constexpr auto kStartFailingTime = std::chrono::seconds(2);

template <class T>
concept ToPeer = std::is_same_v<T, scheduler::PeerDemand> || std::is_same_v<T, scheduler::PeerGrant> ||
    std::is_same_v<T, scheduler::PeerReject> || std::is_same_v<T, scheduler::PeerReturn> ||
    std::is_same_v<T, scheduler::PeerReturned> || std::is_same_v<T, scheduler::PeerLost> ||
    std::is_same_v<T, scheduler::PeerRecall>;
template <class T>
concept ToGcs = std::is_same_v<T, scheduler::ActorGrant> || std::is_same_v<T, scheduler::ActorReject> ||
    std::is_same_v<T, scheduler::ActorLost> || std::is_same_v<T, scheduler::ActorReleased>;

template <class T>
concept ForBundles = std::is_same_v<T, scheduler::BundlesPrepared> || std::is_same_v<T, scheduler::BundlesRefused> ||
    std::is_same_v<T, scheduler::BundlesCommitted> || std::is_same_v<T, scheduler::BundlesReleased>;

scheduler::WorkerFate fate(bool usable) {
  return usable ? scheduler::WorkerFate::kReusable : scheduler::WorkerFate::kSpent;
}

}  // namespace

LeaseDriver::LeaseDriver(os::EventLoop& loop, scheduler::LeaseMachine::Self self, const scheduler::LeaseLimits& limits,
                         Ports ports)
    : node_(self.node),
      ports_(std::move(ports)),
      machine_(std::move(self), limits),
      runner_(loop, machine_, [this](scheduler::LeaseOutput&& output) { put(std::move(output)); }) {}

void LeaseDriver::serve(rpc::Rpc& rpc, const WorkerId& owner, const base::JobId& job) {
  rpc.on<proto::Demand>(proto::DEMAND, [this, owner, job](proto::Demand&& message, rpc::Responder responder) {
    demand(owner, job, message, std::move(responder));
  });
  rpc.on<proto::ReturnLease>(proto::RETURN_LEASE,
                             [this, owner](proto::ReturnLease&& message, rpc::Responder responder) {
                               const auto lease = to_id<LeaseId>(message.lease_id());
                               if (responder.wanted()) returns_[{owner, lease}].push_back(std::move(responder));
                               step(scheduler::LeaseReturned{owner, lease, fate(message.worker_usable())});
                             });
  rpc.serve(proto::BLOCKED, [this, owner](rpc::Message&&, rpc::Responder) { step(scheduler::WorkerBlocked{owner}); });
  rpc.serve(proto::UNBLOCKED,
            [this, owner](rpc::Message&&, rpc::Responder) { step(scheduler::WorkerUnblocked{owner}); });
}

void LeaseDriver::demand(const WorkerId& owner, const base::JobId& job, const proto::Demand& message,
                         rpc::Responder responder) {
  auto shape = cluster::to_resources(message.shape());
  auto strategy = cluster::to_strategy(message.strategy(), ports_.resolve_node);
  if (!shape || !strategy) {
    const Error& error = shape ? strategy.error() : shape.error();
    proto::Unschedulable refusal;
    refusal.set_key(message.key());
    refusal.set_sequence(message.sequence());
    refusal.set_what(error.what);
    if (rpc::Rpc* rpc = ports_.client(owner)) (void)rpc->notify(proto::UNSCHEDULABLE, refusal);
    return responder.fail(error);
  }
  if (strategy->bundle && watched_groups_.insert(strategy->bundle.group).second) {
    ports_.watch_group(strategy->bundle.group);
  }
  if (message.want() == 0) {
    wanted_.erase({owner, message.key()});
    peer_failures_.erase({owner, message.key()});
  } else {
    wanted_[{owner, message.key()}] = {job, message.sequence()};
  }
  if (responder.wanted()) demands_[{owner, message.key()}] = {message.sequence(), std::move(responder)};
  step(scheduler::DemandSet{owner, message.key(), job, std::move(*shape), std::move(*strategy), message.want(),
                            message.sequence(), message.function(), message.retriable()});
}

void LeaseDriver::worker_ready(const WorkerId& worker, const base::JobId& job, std::string address) {
  failures_.erase(job);
  step(scheduler::WorkerReady{worker, job, std::move(address)});
}

bool LeaseDriver::Failures::add(const proto::ExitCause& newest) {
  if (count++ == 0) first = os::now();
  cause = newest;
  return count >= kStartFailuresMax && os::now() - first >= kStartFailingTime;
}

void LeaseDriver::start_failed(const base::JobId& job, const proto::ExitCause& cause) {
  Failures& failures = failures_[job];  // Known before peers are turned away for it.
  const bool hopeless = failures.add(cause);
  const Failures now = failures;
  step(scheduler::StartFailed{job, 1, cause.SerializeAsString()});
  if (!hopeless) return;
  for (const auto& [key, wanted] : wanted_) {
    if (wanted.job == job) tell_owner(key.first, key.second, now, node_);
  }
}

void LeaseDriver::tell_owner(const WorkerId& owner, std::uint32_t key, const Failures& failures, const NodeId& node) {
  const auto wanted = wanted_.find({owner, key});
  rpc::Rpc* rpc = ports_.client(owner);
  if (wanted == wanted_.end() || rpc == nullptr) return;
  proto::Unschedulable message;
  message.set_key(key);
  message.set_sequence(wanted->second.sequence);
  message.set_what("the program's workers do not start: " + failures.cause.text());
  message.add_evidence(std::to_string(failures.count) + " starts failed in a row");
  for (const auto& line : failures.cause.last_lines()) message.add_evidence("it wrote: " + line);
  message.set_remedy(failures.cause.remedy());
  message.set_nearest_node(ports_.node_name(node));
  (void)rpc->notify(proto::UNSCHEDULABLE, message);
}

// What an owner here asked for was placed there, and the program does not start there.
void LeaseDriver::refused_by_peer(const NodeId& peer, const LeaseId& lease, const std::string& why) {
  const auto asked = asked_of_peers_.extract(lease);
  proto::ExitCause cause;
  if (asked.empty() || why.empty() || !cause.ParseFromString(why)) return;
  const auto [owner, key] = asked.mapped();
  Failures& failures = peer_failures_[{owner, key}];
  if (failures.add(cause)) tell_owner(owner, key, failures, peer);
}

void LeaseDriver::owner_gone(const WorkerId& owner) {
  std::erase_if(wanted_, [&owner](const auto& entry) { return entry.first.first == owner; });
  std::erase_if(demands_, [&owner](const auto& entry) { return entry.first.first == owner; });
  std::erase_if(peer_failures_, [&owner](const auto& entry) { return entry.first.first == owner; });
  std::erase_if(asked_of_peers_, [&owner](const auto& entry) { return entry.second.first == owner; });
  std::erase_if(returns_, [&owner](const auto& entry) { return entry.first.first == owner; });
  bindings_.erase(owner);
  binding_now_.erase(owner);
  step(scheduler::OwnerGone{owner});
}

const WorkerBinding* LeaseDriver::binding_of(const WorkerId& worker) const {
  const auto it = bindings_.find(worker);
  return it == bindings_.end() ? nullptr : &it->second;
}

void LeaseDriver::from_peer(const NodeId& peer, const proto::PeerLease& m) {
  const auto lease = to_id<LeaseId>(m.lease_id());
  switch (m.kind()) {
    case proto::PeerLease::DEMAND: {
      auto shape = cluster::to_resources(m.shape());
      const auto bundle = cluster::to_bundle_ref(m.placement_group(), m.bundle());
      if (!shape || !bundle) return;  // A peer that breaks the protocol gets no answer.
      asked_by_peers_[lease] = to_id<base::JobId>(m.job_id());
      return step(scheduler::PeerDemand{peer, m.request(), m.floor(), lease, to_id<WorkerId>(m.owner()), m.key(),
                                        to_id<base::JobId>(m.job_id()), std::move(*shape), *bundle, m.priority(),
                                        m.function(), m.retriable()});
    }
    case proto::PeerLease::GRANT:
      asked_of_peers_.erase(lease);
      return step(
          scheduler::PeerGrant{peer, lease, to_id<WorkerId>(m.worker().worker_id()), m.worker().SerializeAsString()});
    case proto::PeerLease::REJECT: {
      base::Resources available;
      for (const auto& [name, units] : m.available().units()) available.set(name, {units});
      refused_by_peer(peer, lease, m.cause());
      return step(scheduler::PeerReject{peer, lease, std::move(available)});
    }
    case proto::PeerLease::RETURN:
      asked_by_peers_.erase(lease);
      return step(scheduler::PeerReturn{peer, m.request(), m.floor(), lease, fate(m.worker_usable())});
    case proto::PeerLease::RETURNED: asked_of_peers_.erase(lease); return step(scheduler::PeerReturned{peer, lease});
    case proto::PeerLease::LOST: asked_of_peers_.erase(lease); return step(scheduler::PeerLost{peer, lease, m.cause()});
    case proto::PeerLease::RECALL: return step(scheduler::PeerRecall{peer, lease});
    default: return;
  }
}

void LeaseDriver::from_gcs(const proto::ActorLease& m) {
  const auto lease = to_id<LeaseId>(m.lease_id());
  const auto actor = to_id<base::ActorId>(m.actor_id());
  if (m.kind() == proto::ActorLease::REQUEST) {
    auto shape = cluster::to_resources(m.shape());
    const auto bundle = cluster::to_bundle_ref(m.placement_group(), m.bundle());
    if (!shape || !bundle) return;
    step(scheduler::ActorLease{.node = node_,
                               .request = m.request(),
                               .floor = m.floor(),
                               .lease = lease,
                               .actor = actor,
                               .incarnation = static_cast<std::uint32_t>(m.incarnation()),
                               .job = to_id<base::JobId>(m.job_id()),
                               .shape = std::move(*shape),
                               .bundle = *bundle});
  } else if (m.kind() == proto::ActorLease::RELEASE) {
    const auto mode = m.kill() ? scheduler::StopMode::kKill : scheduler::StopMode::kDrain;
    step(scheduler::ActorRelease{node_, m.request(), m.floor(), lease, actor, mode});
  }
}

void LeaseDriver::from_gcs(const proto::BundleHold& m) {
  const auto hold = to_id<LeaseId>(m.hold_id());
  if (m.kind() == proto::BundleHold::COMMIT) return step(scheduler::CommitBundles{node_, hold});
  if (m.kind() == proto::BundleHold::RELEASE) {
    return step(scheduler::ReleaseBundles{node_, m.request(), m.floor(), hold});
  }
  if (m.kind() != proto::BundleHold::PREPARE) return;
  scheduler::PrepareBundles prepare{node_, m.request(), m.floor(), hold, to_id<base::PlacementGroupId>(m.group_id()),
                                    {}};
  for (const proto::Bundle& b : m.bundles()) {
    auto bundle = cluster::to_held_bundle(b);
    if (!bundle) return;
    prepare.bundles.push_back(std::move(*bundle));
  }
  if (m.capture_child_tasks()) capturing_.insert(prepare.group);
  step(std::move(prepare));
}

// A group that is over is asked for again by whoever names it, and answered at once: nothing of it is kept.
void LeaseDriver::group_news(const scheduler::GroupNews& news) {
  if (news.over) {
    watched_groups_.erase(news.group);
    capturing_.erase(news.group);
  }
  step(news);
}

// A lease of this node's worker is granted once the worker runs where the lease says.  True: later.
bool LeaseDriver::put_after_binding(const scheduler::LeaseOutput& output) {
  WorkerId worker;
  LeaseId lease;
  std::visit(
      [&](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, scheduler::Grant> || std::is_same_v<T, scheduler::PeerGrant> ||
                      std::is_same_v<T, scheduler::ActorGrant>) {
          worker = o.worker;
          lease = o.lease;
        }
      },
      output);
  const auto* seat = worker.is_nil() ? nullptr : machine_.seats().find(lease);
  if (seat == nullptr || seat->worker != worker) return false;  // The worker is another node's.
  const auto now = binding_now_.find(worker);
  if (now != binding_now_.end() && now->second == lease) return true;  // Said again: once the worker has answered.
  WorkerBinding wanted;
  wanted.gpus = seat->pieces.gpus;
  if (seat->bundle) {
    if (const auto* pieces = machine_.seats().pieces_of(seat->bundle)) {
      wanted.pus = pieces->pus;
      wanted.nic = pieces->nic;
    }
    if (capturing_.contains(seat->bundle.group)) wanted.captured = seat->bundle.group;
  }
  const auto known = bindings_.find(worker);
  if (known == bindings_.end() ? wanted == WorkerBinding{} : known->second == wanted) return false;
  bindings_[worker] = wanted;
  binding_now_[worker] = lease;
  ports_.bind(worker, wanted, [this, worker, lease, output] {
    std::erase_if(binding_now_, [&](const auto& b) { return b.second == lease; });
    // Returned meanwhile, or the worker is gone: the grant would name nothing.
    const auto* still = machine_.seats().find(lease);
    if (still == nullptr || still->worker != worker || still->phase != scheduler::SeatBook::Phase::kHeld) return;
    put(scheduler::LeaseOutput(output));
  });
  return true;
}

void LeaseDriver::put(scheduler::LeaseOutput&& output) {
  if (put_after_binding(output)) return;
  std::visit(
      [this, &output](auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (ToPeer<T>) {
          put_to_peer(std::move(output));
        } else if constexpr (ToGcs<T>) {
          put_to_gcs(std::move(output));
        } else if constexpr (std::is_same_v<T, scheduler::StartWorkers>) {
          ports_.start_workers(o.job, o.count);
        } else if constexpr (std::is_same_v<T, scheduler::StopWorker>) {
          ports_.stop_worker(o);
        } else if constexpr (ForBundles<T>) {
          put_bundles(std::move(output));
        } else if constexpr (std::is_same_v<T, scheduler::AvailabilityChanged>) {
          ports_.publish(o.version, o.available);
        } else {
          put_to_owner(std::move(output));
        }
      },
      output);
}

void LeaseDriver::put_to_owner(scheduler::LeaseOutput&& output) {
  if (const auto* o = std::get_if<scheduler::DemandAck>(&output)) {
    acknowledge_demand(o->owner, o->key, o->seq);
  } else if (const auto* granted = std::get_if<scheduler::Grant>(&output)) {
    grant(*granted);
  } else if (const auto* returned = std::get_if<scheduler::ReturnAck>(&output)) {
    auto pending = returns_.extract({returned->owner, returned->lease});
    if (pending.empty()) return;
    for (const auto& responder : pending.mapped()) responder.reply(proto::Empty());
  } else if (const auto* gone = std::get_if<scheduler::LeaseLost>(&output)) {
    lost(*gone);
  } else if (const auto* recall = std::get_if<scheduler::Recall>(&output)) {
    proto::Recall message;
    message.set_lease_id(recall->lease.bytes());
    if (rpc::Rpc* rpc = ports_.client(recall->owner)) (void)rpc->notify(proto::RECALL, message);
  } else if (const auto* never = std::get_if<scheduler::Unschedulable>(&output)) {
    unschedulable(*never);
  }
}

void LeaseDriver::acknowledge_demand(const WorkerId& owner, std::uint32_t key, std::uint64_t sequence) {
  const auto it = demands_.find({owner, key});
  if (it == demands_.end() || it->second.sequence > sequence) return;
  it->second.responder.reply(proto::Empty());
  demands_.erase(it);
}

void LeaseDriver::grant(const scheduler::Grant& output) {
  peer_failures_.erase({output.owner, output.key});
  rpc::Rpc* rpc = ports_.client(output.owner);
  if (rpc == nullptr) return;  // Its end is on its way to the machine.
  proto::Grant message;
  message.set_key(output.key);
  message.set_lease_id(output.lease.bytes());
  message.mutable_worker()->ParseFromString(output.address);
  message.set_sequence(output.seq);
  message.set_floor(output.floor);
  rpc->call(proto::GRANT, message, kGrantTimeout,
            [this, owner = output.owner, lease = output.lease](base::Result<rpc::Message> acked) {
              if (acked) step(scheduler::GrantAcked{owner, lease});
            });
}

void LeaseDriver::unschedulable(const scheduler::Unschedulable& output) {
  proto::Unschedulable message;
  message.set_key(output.key);
  message.set_sequence(output.seq);
  message.set_what(output.why.missing);
  message.add_evidence("asked for: " + output.shape.to_string());
  if (output.why.nearest) {
    message.set_nearest_node(ports_.node_name(*output.why.nearest));
    message.add_evidence("the nearest node, " + message.nearest_node() + ", has " +
                         output.why.nearest_total.to_string());
  }
  if (rpc::Rpc* rpc = ports_.client(output.owner)) (void)rpc->notify(proto::UNSCHEDULABLE, message);
  acknowledge_demand(output.owner, output.key, output.seq);
}

void LeaseDriver::lost(const scheduler::LeaseLost& output) {
  proto::WorkerLost message;
  message.set_lease_id(output.lease.bytes());
  // Causes that the machine made itself are sentences; those of processes are ExitCauses.
  if (!message.mutable_cause()->ParseFromString(output.cause) || message.cause().text().empty()) {
    message.mutable_cause()->Clear();
    message.mutable_cause()->set_kind(proto::ExitCause::NODE_DIED);
    message.mutable_cause()->set_text(output.cause);
  }
  if (rpc::Rpc* rpc = ports_.client(output.owner)) (void)rpc->notify(proto::WORKER_LOST, message);
}

void LeaseDriver::put_to_peer(scheduler::LeaseOutput&& output) {
  proto::PeerLease m;
  NodeId peer;
  std::visit(
      [this, &m, &peer](auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (ToPeer<T>) {
          peer = o.peer;
          m.set_lease_id(o.lease.bytes());
        }
        if constexpr (std::is_same_v<T, scheduler::PeerDemand>) {
          asked_of_peers_[o.lease] = {o.owner, o.key};
          m.set_kind(proto::PeerLease::DEMAND);
          m.set_request(o.request);
          m.set_floor(o.floor);
          m.set_owner(o.owner.bytes());
          m.set_key(o.key);
          m.set_job_id(o.job.bytes());
          *m.mutable_shape() = cluster::to_proto(o.shape);
          m.set_priority(o.priority);
          m.set_function(o.function);
          m.set_retriable(o.retriable);
          if (o.bundle) {
            m.set_placement_group(o.bundle.group.bytes());
            m.set_bundle(o.bundle.index);
          }
        } else if constexpr (std::is_same_v<T, scheduler::PeerGrant>) {
          asked_by_peers_.erase(o.lease);
          m.set_kind(proto::PeerLease::GRANT);
          m.mutable_worker()->ParseFromString(o.address);
        } else if constexpr (std::is_same_v<T, scheduler::PeerReject>) {
          m.set_kind(proto::PeerLease::REJECT);
          *m.mutable_available() = cluster::to_proto(o.available);
          const auto asked = asked_by_peers_.extract(o.lease);
          const auto failures = asked.empty() ? failures_.end() : failures_.find(asked.mapped());
          if (failures != failures_.end()) m.set_cause(failures->second.cause.SerializeAsString());
        } else if constexpr (std::is_same_v<T, scheduler::PeerReturn>) {
          m.set_kind(proto::PeerLease::RETURN);
          m.set_request(o.request);
          m.set_floor(o.floor);
          m.set_worker_usable(o.fate == scheduler::WorkerFate::kReusable);
        } else if constexpr (std::is_same_v<T, scheduler::PeerReturned>) {
          m.set_kind(proto::PeerLease::RETURNED);
        } else if constexpr (std::is_same_v<T, scheduler::PeerLost>) {
          m.set_kind(proto::PeerLease::LOST);
          m.set_cause(o.cause);
        } else if constexpr (std::is_same_v<T, scheduler::PeerRecall>) {
          m.set_kind(proto::PeerLease::RECALL);
        }
      },
      output);
  ports_.to_peer(peer, std::move(m));
}

void LeaseDriver::put_bundles(scheduler::LeaseOutput&& output) {
  proto::BundleHold m;
  std::visit(
      [&m](auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (ForBundles<T>) m.set_hold_id(o.hold.bytes());
        if constexpr (std::is_same_v<T, scheduler::BundlesPrepared>) m.set_kind(proto::BundleHold::PREPARED);
        if constexpr (std::is_same_v<T, scheduler::BundlesCommitted>) m.set_kind(proto::BundleHold::COMMITTED);
        if constexpr (std::is_same_v<T, scheduler::BundlesReleased>) m.set_kind(proto::BundleHold::RELEASED);
        if constexpr (std::is_same_v<T, scheduler::BundlesRefused>) {
          m.set_kind(proto::BundleHold::REFUSED);
          m.set_why(o.why);
          *m.mutable_available() = cluster::to_proto(o.available);
          m.set_free_pus(o.free_pus.to_string());
          for (const base::Amount room : o.gpu_room) m.add_gpu_room(room.units);
        }
      },
      output);
  ports_.bundles_to_gcs(m);
}

void LeaseDriver::put_to_gcs(scheduler::LeaseOutput&& output) {
  proto::ActorLease m;
  std::visit(
      [&m](auto& o) {
        using T = std::decay_t<decltype(o)>;
        if constexpr (ToGcs<T>) m.set_lease_id(o.lease.bytes());
        if constexpr (std::is_same_v<T, scheduler::ActorGrant>) {
          m.set_kind(proto::ActorLease::GRANT);
          m.set_actor_id(o.actor.bytes());
          m.mutable_worker()->ParseFromString(o.address);
        } else if constexpr (std::is_same_v<T, scheduler::ActorReject>) {
          m.set_kind(proto::ActorLease::REJECT);
          m.set_actor_id(o.actor.bytes());
          m.set_start_failed(o.reason == scheduler::ActorReject::Reason::kStartFailed);
          m.set_cause(o.cause);
          *m.mutable_available() = cluster::to_proto(o.available);
        } else if constexpr (std::is_same_v<T, scheduler::ActorLost>) {
          m.set_kind(proto::ActorLease::LOST);
          m.set_actor_id(o.actor.bytes());
          m.set_cause(o.cause);
        } else if constexpr (std::is_same_v<T, scheduler::ActorReleased>) {
          m.set_kind(proto::ActorLease::RELEASED);
        }
      },
      output);
  ports_.to_gcs(m);
}

}  // namespace mobula::raylet
