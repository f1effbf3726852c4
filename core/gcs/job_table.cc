#include "core/gcs/job_table.h"

#include <chrono>
#include <memory>
#include <utility>

namespace mobula::gcs {
namespace {

using base::Code;
using base::JobId;
using base::NodeId;

constexpr const char* kTable = "jobs";
// Nodes kill what does not leave by itself long before.
constexpr auto kNodeEndTimeout = std::chrono::seconds(4);

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

void JobTable::serve(rpc::Rpc& rpc) {
  rpc.on<proto::JobInfo>(proto::JOB_REGISTER,
                         [this](proto::JobInfo&& job, rpc::Responder responder) { add(std::move(job), responder); });
  rpc.on<proto::JobFinished>(
      proto::JOB_DONE, [this](proto::JobFinished&& message, rpc::Responder responder) { done(message, responder); });
  rpc.on<proto::JobMember>(proto::MEMBER_JOINED,
                           [this](proto::JobMember&& member, rpc::Responder) { member_joined(member); });
  rpc.on<proto::JobMember>(proto::MEMBER_LEFT,
                           [this](proto::JobMember&& member, rpc::Responder) { member_left(member); });
  rpc.on<proto::JobMembers>(proto::MEMBERS_LEFT, [this](proto::JobMembers&& message, rpc::Responder responder) {
    const auto job = JobId::from_string(message.job_id());
    if (!job) return responder.fail({Code::kInvalid, "no such job"});
    Crew& crew = crews_[*job];
    crew.waiting.push_back({message.count(), std::move(responder)});
    answer(crew);
  });
}

void JobTable::member_joined(const proto::JobMember& member) {
  const auto job = JobId::from_string(member.job_id());
  const auto worker = base::WorkerId::from_string(member.worker_id());
  const auto node = NodeId::from_string(member.node_id());
  if (!job || !worker || !node) return;
  Crew& crew = crews_[*job];
  if (crew.present.emplace(*worker, *node).second) ++crew.joined;
}

// May be told twice: that it has finished, and that it is gone.
void JobTable::member_left(const proto::JobMember& member) {
  const auto job = JobId::from_string(member.job_id());
  const auto worker = base::WorkerId::from_string(member.worker_id());
  if (!job || !worker) return;
  Crew& crew = crews_[*job];
  crew.present.erase(*worker);
  answer(crew);
}

void JobTable::answer(Crew& crew) {
  if (!crew.present.empty()) return;
  std::erase_if(crew.waiting, [&crew](const Crew::Waiting& waiting) {
    if (crew.joined < waiting.count) return false;
    waiting.responder.reply(proto::Empty());
    return true;
  });
}

void JobTable::add(proto::JobInfo&& job, const rpc::Responder& responder) {
  const auto id = JobId::from_string(job.job_id());
  if (!id || id->is_nil())
    return responder.fail({Code::kInvalid, "a job's id has " + std::to_string(job.job_id().size()) + " bytes"});
  if (storage_.get(kTable, job.job_id()))
    return responder.fail({Code::kInvalid, "the job " + id->short_hex() + " exists"});
  job.set_started_unix_ms(unix_ms());
  job.set_state(proto::JobInfo::RUNNING);
  if (job.ns().empty()) job.set_ns(id->hex());  // Names of actors are the job's own unless it says otherwise.
  storage_.put(kTable, job.job_id(), job.SerializeAsString());
  ports_.each_node([&job](const NodeId&, rpc::Rpc& rpc) { (void)rpc.notify(proto::JOB_STARTED, job); });
  responder.reply(job);
}

void JobTable::done(const proto::JobFinished& message, const rpc::Responder& responder) {
  proto::JobInfo job;
  const auto stored = storage_.get(kTable, message.job_id());
  const auto id = JobId::from_string(message.job_id());
  if (!id || !stored || !job.ParseFromString(*stored)) return responder.fail({Code::kNotFound, "no such job"});
  if (job.state() != proto::JobInfo::RUNNING) return responder.reply(proto::Empty());
  job.set_state(message.state() == proto::JobInfo::RUNNING ? proto::JobInfo::SUCCEEDED : message.state());
  job.clear_env();
  storage_.put(kTable, message.job_id(), job.SerializeAsString());
  ports_.ended(*id);
  crews_.erase(*id);
  // Answered by the last copy: when every node has answered, died or taken too long.
  struct Answer {
    rpc::Responder to;
    ~Answer() { to.reply(proto::Empty()); }
  };
  const auto answer = std::make_shared<Answer>();
  answer->to = responder;
  ports_.each_node([&](const NodeId&, rpc::Rpc& rpc) {
    rpc.ask<proto::Empty>(proto::JOB_ENDED, message, kNodeEndTimeout, [answer](base::Result<proto::Empty>) {});
  });
}

void JobTable::node_joined(rpc::Rpc& rpc) {
  each([&rpc](const proto::JobInfo& job) {
    if (job.state() == proto::JobInfo::RUNNING) (void)rpc.notify(proto::JOB_STARTED, job);
  });
}

void JobTable::node_died(const NodeId& node) {
  for (auto& [job, crew] : crews_) {
    if (std::erase_if(crew.present, [&node](const auto& member) { return member.second == node; }) != 0) answer(crew);
  }
  std::vector<proto::JobFinished> lost;
  each([&](const proto::JobInfo& job) {
    if (job.state() != proto::JobInfo::RUNNING || job.driver_node() != node.bytes()) return;
    proto::JobFinished message;
    message.set_job_id(job.job_id());
    message.set_state(proto::JobInfo::FAILED);
    message.set_text("the node of its driver died");
    lost.push_back(std::move(message));
  });
  for (const auto& message : lost) done(message, rpc::Responder());
}

void JobTable::each(const std::function<void(const proto::JobInfo&)>& visit) const {
  storage_.each(kTable, [&visit](const std::string&, const std::string& stored) {
    proto::JobInfo job;
    if (job.ParseFromString(stored)) visit(job);
  });
}

}  // namespace mobula::gcs
