// How the processes of a node join it and leave it.
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <utility>

#include "core/base/build_info.h"
#include "core/base/metrics.h"
#include "core/cluster/convert.h"
#include "core/os/log.h"
#include "core/os/process.h"
#include "core/raylet/client_sockets.h"
#include "core/raylet/node.h"

namespace mobula::raylet {
namespace {

using base::Code;
using base::Error;
using base::JobId;
using base::WorkerId;
using cluster::to_id;

constexpr auto kJobRegisterTimeout = std::chrono::seconds(10);
constexpr auto kJobEndTimeout = std::chrono::seconds(5);
// Between the end of a worker's channel and the report of its death; one that lives on without a channel is killed.
constexpr auto kDeathReportTime = std::chrono::milliseconds(500);

std::string versions(std::uint32_t theirs) {
  return "wire version " + std::to_string(theirs) + " against " + std::to_string(base::kWireVersion) +
         " of this raylet: build both with one Mobula";
}

proto::JobInfo job_of(const proto::Register& request, const base::NodeId& node) {
  proto::JobInfo job;
  job.set_job_id(request.job_id());
  job.set_exe(request.exe());
  job.set_build_id(request.build_id());
  *job.mutable_argv() = request.argv();
  *job.mutable_env() = request.env();
  job.set_cwd(request.cwd());
  job.set_name(request.name());
  *job.mutable_driver() = request.address();
  job.set_driver_node(node.bytes());
  job.set_exec_workers(request.exec_workers());
  return job;
}

}  // namespace

void Node::admit(std::unique_ptr<rpc::Rpc> rpc, proto::Register&& request, rpc::Responder responder) {
  const auto id = WorkerId::from_string(request.worker_id());
  if (request.wire_version() != base::kWireVersion) {
    return responder.fail({Code::kDenied, versions(request.wire_version())});
  }
  if (!id || clients_.find(*id) != nullptr)
    return responder.fail({Code::kInvalid, "the id of this process is wrong or taken"});
  auto client = std::make_shared<Client>();
  client->kind = request.kind();
  client->id = *id;
  client->job = to_id<JobId>(request.job_id());
  const pid_t peer = rpc->peer_pid();
  client->pid = peer != 0 ? peer : static_cast<pid_t>(request.pid());
  client->address = request.address();
  client->address.set_worker_id(id->bytes());
  client->address.set_node_id(id_.bytes());
  client->address.set_incarnation(incarnation_);
  client->address.set_host_key(host_key_);
  client->rpc = std::move(rpc);
  client->rpc->on_closed([this, id = *id](const Error&) { client_closed(id); });

  switch (request.kind()) {
    case proto::Register::DRIVER:
      client->is_member = request.member();
      if (client->is_member) return admit_member(std::move(client), responder);
      return admit_driver(std::move(client), request, std::move(responder));
    case proto::Register::WORKER: {
      const auto accepted = workers_->registered(request, peer);
      if (!accepted) return responder.fail(accepted.error());
      const auto* job = jobs_->find(client->job);
      if (job != nullptr && !job->build_id().empty() && job->build_id() != request.build_id()) {
        return responder.fail(
            {Code::kDenied, "the worker runs build " + request.build_id() + ", its job build " + job->build_id()});
      }
      break;
    }
    default: break;
  }
  complete(clients_.add(std::make_unique<Client>(std::move(*client))), responder);
}

// The GCS must know the job before anything of it can reach another node.
void Node::admit_driver(std::shared_ptr<Client> client, const proto::Register& request, rpc::Responder responder) {
  if (client->job.is_nil()) return responder.fail({Code::kInvalid, "a driver without a job id"});
  const proto::JobInfo job = job_of(request, id_);
  client->rpc->on_closed([client](const Error&) { client->rpc.reset(); });
  gcs_->ask<proto::JobInfo>(proto::JOB_REGISTER, job, kJobRegisterTimeout,
                            [this, client, responder](base::Result<proto::JobInfo> known) {
                              if (!known) return responder.fail(known.error());
                              if (client->rpc == nullptr) return driver_gone(*client);  // It has left meanwhile.
                              job_heard(*known);
                              leases_->step(scheduler::JobStarted{client->job});
                              client->rpc->on_closed([this, id = client->id](const Error&) { client_closed(id); });
                              complete(clients_.add(std::make_unique<Client>(std::move(*client))), responder);
                            });
}

// The GCS tells every node of a job before anything else of it.
void Node::admit_member(std::shared_ptr<Client> client, const rpc::Responder& responder) {
  if (client->job.is_nil()) return responder.fail({Code::kInvalid, "a driver without a job id"});
  if (jobs_->find(client->job) == nullptr) {
    client->rpc->on_closed([client](const Error&) { client->rpc.reset(); });
    early_members_.emplace(client->job, std::pair(client, responder));
    return;
  }
  if (client->rpc == nullptr) return;  // It has left meanwhile.
  proto::JobMember member;
  member.set_job_id(client->job.bytes());
  member.set_worker_id(client->id.bytes());
  member.set_node_id(id_.bytes());
  gcs_->notify(proto::MEMBER_JOINED, member);
  client->rpc->on_closed([this, id = client->id](const Error&) { client_closed(id); });
  complete(clients_.add(std::make_unique<Client>(std::move(*client))), responder);
}

void Node::job_heard(const proto::JobInfo& job) {
  jobs_->add(job);
  const auto id = to_id<JobId>(job.job_id());
  for (auto it = early_members_.find(id); it != early_members_.end(); it = early_members_.find(id)) {
    const auto [client, responder] = std::move(it->second);
    early_members_.erase(it);
    admit_member(client, responder);
  }
}

void Node::member_left(const Client& client) {
  proto::JobMember member;
  member.set_job_id(client.job.bytes());
  member.set_worker_id(client.id.bytes());
  gcs_->notify(proto::MEMBER_LEFT, member);
}

void Node::complete(Client& client, const rpc::Responder& responder) {
  rpc::Rpc& rpc = *client.rpc;
  proto::Registered reply;
  reply.set_node_id(id_.bytes());
  reply.set_incarnation(incarnation_);
  reply.set_node_name(options_.name);
  reply.set_host_key(host_key_);
  reply.set_job_id(client.job.bytes());
  reply.set_session_directory(options_.session_directory);
  reply.set_cluster_name(options_.cluster_name);
  reply.set_end_unix_ms(time_limit_.end_unix_ms());
  for (const auto& [key, value] : options_.settings) (*reply.mutable_settings())[key] = value;
  if (const auto* job = jobs_->find(client.job)) reply.set_ns(job->ns());
  serve_questions(rpc);
  gcs_->serve(rpc);
  if (client.kind == proto::Register::TOOL) return responder.reply(reply);

  rpc.serve(proto::METRICS_PAGE, [this, id = client.id](rpc::Message&& message, rpc::Responder) {
    Client* known = clients_.find(id);
    if (known == nullptr || message.fds.size() != 1) return;
    auto page = os::map_file(message.fds[0], 0, base::kMetricsPageBytes, os::Access::kReadOnly);
    if (page) known->metrics = std::move(*page);
  });
  const auto slot = store_->attach(client.pid);
  if (!slot) {
    responder.fail(slot.error());
    return (void)clients_.remove(client.id);
  }
  client.store_slot = slot->slot;
  reply.set_store_slot(slot->slot);
  reply.set_store_descriptors(2);
  store_->serve(rpc, slot->slot);
  leases_->serve(rpc, client.id, client.job);
  watch_->serve(rpc, client.id);
  pulls_->serve(rpc);
  if (client.kind == proto::Register::WORKER) {
    actors_->serve(rpc, client.id);
    rpc.serve(proto::WORKER_LEAVING, [this, id = client.id, job = client.job](rpc::Message&&, rpc::Responder) {
      jobs_->worker_leaving(job, id);
    });
    rpc.serve(proto::WORKER_READY, [this, id = client.id](rpc::Message&&, rpc::Responder) { workers_->ready(id); });
  } else {
    rpc.on<proto::JobFinished>(
        proto::JOB_FINISHED, [this, id = client.id](proto::JobFinished&& message, rpc::Responder done) {
          leases_->owner_gone(id);
          if (const Client* member = clients_.find(id); member != nullptr && member->is_member) {
            member_left(*member);
            return done.reply(proto::Empty());
          }
          gcs_->ask<proto::Empty>(proto::JOB_DONE, message, kJobEndTimeout,
                                  [done](base::Result<proto::Empty>) { done.reply(proto::Empty()); });
        });
  }
  const std::array<int, 3> descriptors{slot->control_fd, slot->data_fd, spin_page_.get()};
  responder.reply(reply, descriptors);
}

void Node::client_closed(const WorkerId& id) {
  Client* client = clients_.find(id);
  if (client == nullptr) return;
  if (client->kind != proto::Register::WORKER) {
    const auto gone = clients_.remove(id);
    return driver_gone(*gone);
  }
  loop_.after(kDeathReportTime, [this, id] {
    if (workers_ != nullptr)
      workers_->kill(id, proto::ExitCause::KILLED, "it closed its channel to the raylet and lived on");
  });
}

// A job ends with the driver that made it, in order or not.
void Node::driver_gone(const Client& client) {
  if (client.kind != proto::Register::DRIVER || over_) return;
  leases_->owner_gone(client.id);
  watch_->forget(client.id);
  spin_.release_all_of(static_cast<std::uint32_t>(client.pid));
  remove_sockets(client.address, options_.session_directory);
  proto::ProcessGone gone;
  gone.set_worker_id(client.id.bytes());
  gcs_->notify(proto::PROCESS_GONE, gone);
  if (client.is_member) {
    member_left(client);
  } else {
    proto::JobFinished message;
    message.set_job_id(client.job.bytes());
    message.set_state(proto::JobInfo::FAILED);
    message.set_text("its driver (pid " + std::to_string(client.pid) + ") ended without finishing it");
    gcs_->ask<proto::Empty>(proto::JOB_DONE, message, kJobEndTimeout, [](base::Result<proto::Empty>) {});
  }
  if (!client.store_slot) return;
  // What it held in the store may be taken back once it cannot touch it any more.
  os::Fd pidfd = os::open_pidfd(client.pid);
  if (!pidfd.valid()) return store_->reclaim(*client.store_slot);
  const int fd = pidfd.get();
  const auto watch = loop_.watch(fd, EPOLLIN, [this, id = client.id, slot = *client.store_slot](std::uint32_t) {
    auto watched = driver_pidfds_.extract(id);
    loop_.remove(watched.mapped().second);
    store_->reclaim(slot);
  });
  driver_pidfds_[client.id] = {std::move(pidfd), watch};
}

}  // namespace mobula::raylet
