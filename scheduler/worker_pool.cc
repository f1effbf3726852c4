#include "scheduler/worker_pool.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "core/base/timers.h"

namespace mobula::scheduler {

void WorkerPool::job_started(const base::JobId& job) {
  if (!jobs_.contains(job)) jobs_[job].ahead = limits_.cores;
}

void WorkerPool::job_ended(const base::JobId& job, base::Outbox<StopWorker>& out) {
  if (ended_.insert(job).second) ended_order_.push_back(job);
  if (ended_order_.size() > kEndedMax) {
    ended_.erase(ended_order_.front());
    ended_order_.pop_front();
  }
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return;
  it->second.ahead = 0;
  for (const base::WorkerId& worker : std::vector(it->second.idle)) {
    leave(worker);
    out.push_back({worker, StopMode::kKill});
  }
  forget_if_empty(job);
}

void WorkerPool::ready(base::Time now, const base::WorkerId& worker, const base::JobId& job, std::string address) {
  if (const auto known = workers_.find(worker); known != workers_.end()) {
    if (known->second.state != State::kLeaving || !known->second.lease.is_nil()) return;
    known->second.stays = true;
    return make_idle(now, worker, known->second);
  }
  Job& j = jobs_[job];
  if (j.starting > 0) {
    --j.starting;
    --starting_count_;
  }
  if (j.ahead > 0) --j.ahead;
  j.backoff = base::Duration{0};
  Worker& w = workers_[worker];
  w.job = job;
  w.address = std::move(address);
  make_idle(now, worker, w);
}

std::optional<WorkerPool::Worker> WorkerPool::gone(const base::WorkerId& worker) {
  const auto it = workers_.find(worker);
  if (it == workers_.end()) return std::nullopt;
  if (it->second.state == State::kIdle) leave_idle(worker, it->second);
  Worker w = std::move(it->second);
  workers_.erase(it);
  resting_.erase(worker);
  for (auto& [job, j] : jobs_) j.start_after.reset();  // What it held may be what starts lacked.
  forget_if_empty(w.job);
  return w;
}

void WorkerPool::start_failed(base::Time now, const base::JobId& job, std::uint32_t count) {
  Job& j = jobs_[job];
  const std::uint32_t failed = std::min(count, j.starting);
  j.starting -= failed;
  starting_count_ -= failed;
  j.ahead -= std::min(j.ahead, failed);
  if (j.start_after && *j.start_after > now) return;  // They failed together: one failure.
  j.backoff = j.backoff.count() == 0 ? limits_.start_backoff : std::min(j.backoff * 2, limits_.start_backoff_max);
  j.start_after = now + j.backoff;
}

std::optional<base::WorkerId> WorkerPool::take(const base::JobId& job, const base::LeaseId& lease,
                                               const GpuUse& wanted) {
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return std::nullopt;
  auto& idle = it->second.idle;
  const auto last_with = [&](const std::vector<std::uint16_t>& gpus) {
    return std::find_if(idle.rbegin(), idle.rend(), [&](const auto& w) { return workers_.at(w).uses.gpus == gpus; });
  };
  auto best = last_with(wanted.gpus);
  if (best == idle.rend() && wanted) best = last_with({});
  if (best == idle.rend()) return std::nullopt;
  const base::WorkerId worker = *best;
  idle.erase(std::next(best).base());
  --idle_count_;
  resting_.erase(worker);
  Worker& w = workers_.at(worker);
  w.state = State::kHeld;
  w.lease = lease;
  w.stays = false;
  if (wanted) w.uses = wanted;
  return worker;
}

std::optional<base::WorkerId> WorkerPool::fitting(const base::JobId& job, const GpuUse& wanted) const {
  const auto it = jobs_.find(job);
  if (it == jobs_.end()) return std::nullopt;
  const auto& idle = it->second.idle;
  const auto best =
      std::find_if(idle.rbegin(), idle.rend(), [&](const auto& w) { return workers_.at(w).uses.gpus == wanted.gpus; });
  return best == idle.rend() ? std::nullopt : std::optional(*best);
}

void WorkerPool::give_back(base::Time now, const base::WorkerId& worker) {
  Worker& w = workers_.at(worker);
  assert(w.state == State::kHeld);
  make_idle(now, worker, w);
}

void WorkerPool::leave(const base::WorkerId& worker) {
  Worker& w = workers_.at(worker);
  if (w.state == State::kIdle) leave_idle(worker, w);
  w.state = State::kLeaving;
}

const WorkerPool::Worker* WorkerPool::find(const base::WorkerId& worker) const {
  const auto it = workers_.find(worker);
  return it == workers_.end() ? nullptr : &it->second;
}

void WorkerPool::start(base::Time now, const std::map<base::JobId, std::uint32_t>& waiting,
                       base::Outbox<StartWorkers>& starts, base::Outbox<StopWorker>& stops) {
  for (const auto& [job, count] : waiting) jobs_.try_emplace(job);
  room_after_.reset();
  for (auto& [job, j] : jobs_) {
    const auto it = waiting.find(job);
    const std::uint32_t wanted = std::max(it == waiting.end() ? 0u : it->second, j.ahead);
    if (j.start_after && *j.start_after <= now) j.start_after.reset();
    if (wanted <= j.starting || j.start_after) continue;
    std::uint32_t lacking = wanted - j.starting;
    lacking = std::min(lacking, limits_.starting_max - std::min(limits_.starting_max, starting_count_));
    const std::size_t taken = workers_.size() + starting_count_;
    const auto room = static_cast<std::uint32_t>(taken < limits_.workers_max ? limits_.workers_max - taken : 0);
    // Whoever is asked to leave makes room only when gone; that calls start() again.
    for (std::uint32_t i = room; i < lacking && it != waiting.end() && it->second > j.starting; ++i) {
      const auto victim = longest_idle();
      if (!victim) break;
      // Asked a moment ago, it stayed; the others have been idle for less long.
      const Worker& asked = workers_.at(*victim);
      if (asked.stays && asked.idle_since + limits_.idle_timeout > now) {
        room_after_ = asked.idle_since + limits_.idle_timeout;
        break;
      }
      leave(*victim);
      stops.push_back({*victim, StopMode::kDrain});
    }
    lacking = std::min(lacking, room);
    if (lacking == 0) continue;
    j.starting += lacking;
    starting_count_ += lacking;
    starts.push_back({job, lacking});
  }
}

void WorkerPool::reap(base::Time now, base::Outbox<StopWorker>& out) {
  for (const base::WorkerId& worker : std::vector(resting_.begin(), resting_.end())) {
    const Worker& w = workers_.at(worker);
    if (w.state != State::kIdle || w.stays || w.idle_since + limits_.idle_timeout > now) continue;
    leave(worker);
    out.push_back({worker, StopMode::kDrain, {}});
  }
  while (idle_count_ > limits_.cores) {
    const auto worker = longest_idle();
    if (workers_.at(*worker).idle_since + limits_.idle_timeout > now) break;
    leave(*worker);
    out.push_back({*worker, StopMode::kDrain});
  }
  if (!std::exchange(ended_idle_, false)) return;
  for (const auto& [job, j] : jobs_) {
    if (!ended_.contains(job)) continue;
    for (const base::WorkerId& worker : std::vector(j.idle)) {
      leave(worker);
      out.push_back({worker, StopMode::kKill});
    }
  }
}

std::optional<base::Time> WorkerPool::next_deadline() const {
  std::optional<base::Time> next;
  if (idle_count_ > limits_.cores) next = workers_.at(*longest_idle()).idle_since + limits_.idle_timeout;
  next = base::earlier(next, next_resting());
  next = base::earlier(next, room_after_);
  for (const auto& [job, j] : jobs_) {
    next = base::earlier(next, j.start_after);
  }
  return next;
}

// When the first of the idle ones with GPUs has been idle for too long.
std::optional<base::Time> WorkerPool::next_resting() const {
  std::optional<base::Time> next;
  for (const base::WorkerId& worker : resting_) {
    const Worker& w = workers_.at(worker);
    if (w.state == State::kIdle && !w.stays) next = base::earlier(next, w.idle_since + limits_.idle_timeout);
  }
  return next;
}

bool WorkerPool::is_valid() const {
  std::size_t idle = 0;
  std::uint32_t starting = 0;
  for (const auto& [job, j] : jobs_) {
    starting += j.starting;
    idle += j.idle.size();
    for (const base::WorkerId& worker : j.idle) {
      const Worker* w = find(worker);
      if (!w || w->state != State::kIdle || w->job != job) return false;
    }
  }
  std::size_t resting = 0;
  for (const auto& [worker, w] : workers_) {
    const bool rests = w.uses && w.lease.is_nil();
    if (rests != resting_.contains(worker)) return false;
    resting += rests;
  }
  return idle == idle_count_ && starting == starting_count_ && resting == resting_.size() &&
         ended_.size() == ended_order_.size();
}

void WorkerPool::make_idle(base::Time now, const base::WorkerId& worker, Worker& w) {
  w.state = State::kIdle;
  w.lease = {};
  w.idle_since = now;
  if (w.uses) resting_.insert(worker);
  ended_idle_ = ended_idle_ || ended_.contains(w.job);
  jobs_[w.job].idle.push_back(worker);
  ++idle_count_;
}

void WorkerPool::leave_idle(const base::WorkerId& worker, const Worker& w) {
  auto& idle = jobs_.at(w.job).idle;
  idle.erase(std::find(idle.begin(), idle.end(), worker));
  --idle_count_;
}

std::optional<base::WorkerId> WorkerPool::longest_idle() const {
  std::optional<base::WorkerId> oldest;
  for (const auto& [job, j] : jobs_) {
    if (j.idle.empty()) continue;
    if (!oldest || workers_.at(j.idle.front()).idle_since < workers_.at(*oldest).idle_since) oldest = j.idle.front();
  }
  return oldest;
}

void WorkerPool::forget_if_empty(const base::JobId& job) {
  const auto it = jobs_.find(job);
  if (it == jobs_.end() || !ended_.contains(job)) return;
  if (it->second.idle.empty() && it->second.starting == 0) jobs_.erase(it);
}

}  // namespace mobula::scheduler
