#include "core/raylet/jobs.h"

#include <utility>

namespace mobula::raylet {
namespace {

// What a worker has for leaving by itself before it is killed.
constexpr auto kLeaveTime = std::chrono::milliseconds(300);
// And an actor's destructor; less than what the driver waits for all of it.
constexpr auto kDestructorTime = std::chrono::milliseconds(3000);

}  // namespace

Jobs::~Jobs() {
  for (auto& [id, job] : jobs_) loop_.cancel(job.timer);
}

void Jobs::add(const proto::JobInfo& info) {
  const auto id = base::JobId::from_string(info.job_id());
  if (!id || jobs_.contains(*id)) return;
  jobs_[*id].info = info;
  ports_.started(info);
}

const proto::JobInfo* Jobs::find(const base::JobId& job) const {
  const auto it = jobs_.find(job);
  return it == jobs_.end() ? nullptr : &it->second.info;
}

void Jobs::end(const base::JobId& id, rpc::Responder responder) {
  const auto it = jobs_.find(id);
  if (it == jobs_.end()) return responder.reply(proto::Empty());
  Job& job = it->second;
  job.waiting.push_back(std::move(responder));
  if (std::exchange(job.ending, true)) return;
  ports_.release(id);
  for (const auto& worker : ports_.workers(id)) ports_.ask_to_leave(worker);
  job.timer = loop_.after(kLeaveTime, [this, id] { kill_late(id); });
  check(id);
}

void Jobs::kill_late(const base::JobId& id) {
  Job& job = jobs_.at(id);
  bool wait = false;
  for (const auto& worker : ports_.workers(id)) {
    if (job.leaving.erase(worker) != 0) {
      wait = true;
    } else {
      ports_.kill(worker, "its job has ended");
    }
  }
  if (wait) job.timer = loop_.after(kDestructorTime - kLeaveTime, [this, id] { kill_late(id); });
}

void Jobs::worker_leaving(const base::JobId& id, const base::WorkerId& worker) {
  const auto it = jobs_.find(id);
  if (it != jobs_.end()) it->second.leaving.insert(worker);
}

void Jobs::worker_gone(const base::JobId& job, const base::WorkerId& worker) {
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return;
  it->second.leaving.erase(worker);
  if (it->second.ending) check(job);
}

void Jobs::check(const base::JobId& id) {
  Job& job = jobs_.at(id);
  if (job.flushed || !ports_.workers(id).empty()) return;
  job.flushed = true;
  loop_.cancel(job.timer);
  ports_.flush(id, [this, id] {
    auto job = jobs_.extract(id);
    if (job.empty()) return;
    ports_.forget(id);
    for (const auto& responder : job.mapped().waiting) responder.reply(proto::Empty());
  });
}

}  // namespace mobula::raylet
